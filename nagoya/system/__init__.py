"""How a system runs: its containers, their state, what is done with them."""
