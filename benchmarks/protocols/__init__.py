"""What the lifting is judged on besides the paper's protocol: exact and made-up input, real video, and its doubt."""
