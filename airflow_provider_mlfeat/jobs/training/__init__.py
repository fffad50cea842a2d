"""Jobs that train models and judge them."""
