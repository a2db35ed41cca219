"""Every bound in one place: what a message, request, queue, block or file may hold. Units last in names."""

from __future__ import annotations

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE

# Boundary messages (host <-> enclave, enclave <-> enclave).
MESSAGE_BYTES_MAX = 64 * MEBIBYTE
"""Largest frame on a channel. Larger ones are refused before they are read."""

# Front end.
REQUEST_BYTES_MAX = 2 * MEBIBYTE
REQUEST_HEADER_BYTES_MAX = 16 * KIBIBYTE
REQUEST_BATCH_MAX = 200
"""Items in one JSON-RPC batch."""
RESPONSE_BYTES_MAX = 32 * MEBIBYTE
CONNECTIONS_MAX = 1024
CONNECTION_REQUESTS_MAX = 64
"""Requests of one connection that are read ahead (HTTP pipelining) before the socket is paused."""
IDLE_CONNECTION_SECONDS_MAX = 300
TLS_HANDSHAKE_SECONDS_MAX = 10
REQUEST_SECONDS_MAX = 60

# WebSocket connections. A message from a client is bounded as a request is, one to it as a response.
WEBSOCKETS_PER_CALLER_MAX = 256
"""Open connections of one identity, in one gateway; they live on while they are quiet."""
WEBSOCKET_MESSAGES_MAX = 64
"""Messages of one connection that wait for its handler, above which the socket is not read."""
WEBSOCKET_SENDERS_MAX = 64
"""Messages that wait while a client is slow, above which its connection is closed."""
WEBSOCKET_BUFFER_BYTES_MAX = 1 * MEBIBYTE
"""Bytes on their way to a client above which senders wait."""
WEBSOCKET_SLOW_SECONDS_MAX = 30
WEBSOCKET_PING_SECONDS = 30
"""Time between pings, and how long a client has to answer one."""
WEBSOCKET_CLOSE_SECONDS_MAX = 5
"""How long a closing handshake may take, and a handler once its connection is closed."""

# Executor.
QUEUED_COMMANDS_MAX = 20_000
QUEUED_COMMANDS_PER_CALLER_MAX = 5_000
COMMAND_BYTES_MAX = 1 * MEBIBYTE
QUERY_REPLY_BYTES_MAX = 16 * MEBIBYTE
QUEUED_QUERIES_MAX = 10_000
QUEUED_GOVERNANCE_MAX = 100
OUTBOX_BYTES_MAX = 64 * MEBIBYTE
"""Answers that wait to be sent to one gateway, above which nothing more of it is read."""
BATCH_BYTES_MAX = 4 * MEBIBYTE
"""A message between gateway and executor takes no further item once it holds this much."""
REPLAY_HISTORY_ENTRIES_MAX = 20_000
"""Entries whose older states are kept while the ledger is replayed; adapters then say how much they need."""

FLUSH_SECONDS_MAX = 5
"""How long a stop waits for a gateway to take its last answers."""

# Several nodes: what an executor does when the leader changes.
UNLED_SECONDS_MAX = 5
"""How long a command waits while no leader is known."""
BLOCK_TIME_AHEAD_SECONDS_MAX = 300
"""How far a block's time may be ahead of a node's clock before the node warns, and of the manager's own executor's."""
READ_CONFIRM_SECONDS_MAX = 5
"""How long a read waits until consensus confirms how new the state is that answers it."""
UNRESOLVED_SECONDS_MAX = 20
"""How long a leader that lost its leadership waits to learn what became of the blocks it had proposed."""
UNRESOLVED_BLOCKS_MAX = 16
STOP_SECONDS_MAX = 10
"""How long a stop waits for what is in flight."""
FORWARDED_COMMANDS_MAX = 20_000
"""Commands of a follower that wait for a leader, or for its answer."""
FORWARDED_PER_GATEWAY_MAX = 15_000
FORWARDED_BYTES_MAX = 64 * MEBIBYTE
FORWARDED_IN_FLIGHT_MAX = 5_000
"""Commands of one node that are with the leader."""
FORWARD_BATCH_COMMANDS_MAX = 1_000
FORWARD_BATCH_BYTES_MAX = 1 * MEBIBYTE
"""A batch takes no further item once it holds this much."""
FORWARD_WAIT_SECONDS_MAX = 20
"""How long a command waits for room with a leader that is known."""
FORWARDED_SECONDS_MAX = REQUEST_SECONDS_MAX
"""How long a follower waits for the leader's answer, and for its own state to reach it."""

# Readers.
READERS_MAX = 2
QUEUED_QUERIES_PER_CALLER_MAX = 2_000
QUERY_WAIT_SECONDS_MAX = 20
"""How long a query may wait in a reader, for its turn or for the state it was promised."""
QUERY_SECONDS_MAX = 5
"""How long a query may run. Adapters keep to it themselves; READER_STUCK_SECONDS_MAX is for when they do not."""
READER_STUCK_SECONDS_MAX = 8
"""Processor time without coming back to its work after which a reader ends, and is started again."""
READER_QUOTA_WINDOW_SECONDS = 10
READER_QUOTA_SECONDS = 2.5
"""Reader time of one identity in a window, above which others come first."""
READER_OTHERS_SECONDS = 0.1
"""For how long after its last query an identity within its quota still counts as waiting."""
READER_ABSENT_SECONDS_MAX = 10
"""How long a gateway holds a query for a reader that is being started."""
FEED_ROWS_MAX = 500
FEED_BATCH_BYTES_MAX = 64 * KIBIBYTE
"""What one step of copying the state to a new reader reads and sends, so that commands run in between."""
FEED_SECONDS_MAX = 30
"""A reader that takes nothing for this long is given up; it starts again."""

# Blocks.
BLOCK_COMMANDS_MAX = 1_000
BLOCK_COMMANDS_ENOUGH = 32
"""With no block in flight, a block of this many commands closes though more commands wait, as network.json has it by
default."""
BLOCK_WAIT_MS = 5
"""How long a block waits, at most, for as many commands as the one before it held; network.json's default."""
BLOCK_WAIT_MS_MAX = 1_000
BLOCK_BYTES_MAX = 16 * MEBIBYTE
BLOCKS_IN_FLIGHT_MAX = 2
"""Blocks proposed to the manager and not yet committed."""

# Consensus.
HAND_OVER_SECONDS_MAX = 2.0
"""How long a leader that stops waits for another one."""
CONSENSUS_NODES_MAX = 128
"""Voters and learners of one configuration, and changes in one proposal."""
CONSENSUS_ENTRY_BYTES_MAX = 32 * MEBIBYTE
"""One block with its configuration change."""
CONSENSUS_APPEND_ENTRIES_MAX = 4_096
CONSENSUS_READYS_MAX = 1_024
"""Readys handed out that wait for the disk."""
CONSENSUS_KEPT_ENTRIES = 2_048
CONSENSUS_KEPT_BYTES = 32 * MEBIBYTE
"""Applied entries that an engine keeps for nodes that lag a little; who lags more is sent to the files."""
CONSENSUS_READS_MAX = 20_000
"""Reads that wait for a quorum, or for the leader's answer."""
CONSENSUS_READ_CONTEXT_BYTES_MAX = 256

FRONT_END_DAYS = 90
"""Life of the front end's certificate, which is renewed at two thirds of it."""

# Key-value store.
TABLE_NAME_BYTES_MAX = 128
KEY_BYTES_MAX = 1 * KIBIBYTE
VALUE_BYTES_MAX = 8 * MEBIBYTE
TABLES_MAX = 1_024

# Ledger.
ENTRY_BYTES_MAX = 32 * MEBIBYTE
CHUNK_BYTES_MIN = 5 * MEBIBYTE
"""A chunk is closed at the first signature at or past this size (CCF's default)."""
SEALED_BLOB_BYTES_MAX = 1 * MEBIBYTE
DISK_READ_BYTES_MAX = 4 * MEBIBYTE
DISK_PATCH_BYTES_MAX = 64
RECEIPT_BYTES_MAX = QUERY_REPLY_BYTES_MAX
"""A receipt, with its claims beside it, when it is verified."""
RECEIPTS_IN_FLIGHT_MAX = 16
"""Receipts that a manager makes for its executor at a time."""
QUEUED_RECEIPTS_MAX = 1_000
QUEUED_RECEIPTS_PER_CALLER_MAX = 200
GRANULE_BYTES_MAX = 8 * MEBIBYTE
"""What is read back of the ledger for one part of a receipt, at most."""


# Snapshots.
SNAPSHOT_ENTRIES = 10_000
"""Entries from one snapshot to the next, as network.json has it by default (CCF's)."""
SNAPSHOT_ENTRIES_MAX = 1_000_000_000
SNAPSHOT_ROWS_PER_ENTRY_MAX = 10
"""A snapshot waits until there are so many entries that it writes at most this many rows for each of them."""
SNAPSHOTS_KEPT = 2
SNAPSHOT_VIEWS_MAX = 1_000_000
SNAPSHOT_SLICES_IN_FLIGHT_MAX = 4
"""Slices of rows (FEED_ROWS_MAX, FEED_BATCH_BYTES_MAX) on their way from an executor to its manager."""
SNAPSHOT_WRITE_BYTES = 1 * MEBIBYTE
"""What is written to the disk, read from it, and handed to an executor at a time."""

# Governance.
IDENTITIES_MAX = 10_000
GOVERNANCE_MESSAGE_BYTES_MAX = 256 * KIBIBYTE
GOVERNANCE_MESSAGE_AGE_SECONDS_MAX = 600
MANIFEST_ENTRIES_MAX = 256
MANIFEST_VALUES_MAX = 256
"""Roots or measurements of one entry."""
PROPOSALS_OPEN_MAX = 100
PROPOSALS_OPEN_PER_MEMBER_MAX = 16
PROPOSAL_SECONDS_MAX = 14 * 24 * 3600
"""How long a proposal may be voted on."""
SLOTS_MAX = 64
"""Slots of the list of nodes that are not removed. Each may have two nodes in consensus while one replaces another."""
DELEGATION_COUNT_MAX = 1_000
"""Nodes that may join one after the other by what a member signed once."""
RESTART_APPROVALS_MAX = 256
"""Members whose approval one restart may need, and files that a node which waits for them looks at in one go."""
RESTART_REQUEST_BYTES_MAX = 128 * KIBIBYTE
AUTHORIZATION_SECONDS_MAX = 400 * 24 * 3600
"""How long what a member signed for a node may count."""
TICKET_SECONDS_MAX = 7 * 24 * 3600
"""How long a node keeps a key for which it waits for a ticket."""
TICKET_REQUEST_BYTES_MAX = 256 * KIBIBYTE
"""What a node shows its member for that."""
TICKETS_QUEUED_MAX = 4
"""Tickets that a host has brought, and its manager has not looked at."""

# Node to node.
NODE_HANDSHAKE_SECONDS_MAX = 10
"""From the first byte to a confirmed channel, with the making and checking of evidence."""
FETCH_BYTES_MAX = 1 * MEBIBYTE
"""Of one piece of a file that is fetched from another node."""
FETCHES_MAX = 8
"""Pieces of files that are read for other nodes at a time."""
JOINERS_MAX = 16
"""Nodes that wait for the leader's answer."""
NODE_HANDSHAKE_BYTES_MAX = 256 * KIBIBYTE
"""What one side takes before the channel is confirmed. OpenSSL takes no certificate message above 100 KiB."""
EVIDENCE_BYTES_MAX = 24 * KIBIBYTE
ENDORSEMENTS_BYTES_MAX = 64 * KIBIBYTE
"""Collateral in a node's certificate."""

# Channels between nodes (core/node/peers).
PEER_URGENT_BYTES_MAX = 4 * KIBIBYTE
"""A message of consensus up to here may go before longer ones; it travels in one piece."""
PEER_URGENT_SECONDS_MAX = 2.0
"""An urgent message that waited longer is not sent: another has taken its place."""
PEER_ORDERED_QUEUE_BYTES_MAX = 16 * MEBIBYTE
PEER_WORK_QUEUE_BYTES_MAX = 32 * MEBIBYTE
PEER_WORK_BYTES_MAX = 32 * MEBIBYTE
"""One message with commands, with answers, or with what a new node is given."""
PEER_REQUESTS_MAX = 8
"""Requests of one node to another that wait for their replies."""
PEER_INBOUND_MESSAGES_MAX = 1_024
PEER_INBOUND_BYTES_MAX = 16 * MEBIBYTE
"""Messages of one node that wait to be taken, above which its channel is not read."""
PEER_HANDSHAKES_MAX = 32
"""Accepted connections that are not confirmed yet; for one more, the oldest is closed."""
PEER_JOINS_MAX = 4
"""Unregistered nodes that are spoken with at a time. Each costs a quote before anything is known of it."""
PEER_JOINS_PER_MINUTE = 60
PEER_JOIN_REQUEST_BYTES_MAX = 2 * GOVERNANCE_MESSAGE_BYTES_MAX
PEER_JOIN_SECONDS_MAX = 60.0
PEER_ADDRESS_BYTES_MAX = 512
PEER_DIALS_MAX = 64
"""Connections that a host makes at a time."""
PEER_ACCEPTED_MAX = 64
"""Connections that a host accepted and its manager has not looked at, above which the oldest is closed."""
