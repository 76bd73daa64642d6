"""The centre: takes in events and samples, keeps them, shows them."""
