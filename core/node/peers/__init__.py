"""The channels to the other nodes' managers: PeerNetwork (core/node/peer_messages.py) over RA-TLS."""
