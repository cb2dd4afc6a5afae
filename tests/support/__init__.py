"""What several test tiers share: peers, servers under test, data to send, and clients to send it with."""
