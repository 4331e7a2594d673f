"""One byte stream between laptop and agent, multiplexed; and the messages of the session protocol."""
