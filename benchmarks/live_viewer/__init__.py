"""What the viewer costs the graph: `__main__` measures, `page_client` is a client that reads all and draws nothing."""
