"""``fanin bench``: timing, and the calls of the peers."""
