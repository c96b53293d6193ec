"""A robot that follows, in a graph of its own: how soon it holds, what it is commanded, how late."""
