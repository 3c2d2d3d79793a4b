"""recsys: personalised item recommendation for second-hand trading platforms."""
