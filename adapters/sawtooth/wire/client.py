"""What clients ask a validator, and what it answers."""

CLIENT = """
ClientPagingControls: 1 string start, 2 int32 limit

ClientPagingResponse: 1 string next, 2 string start, 3 int32 limit

ClientSortControls: 1 string* keys, 2 bool reverse

ClientBatchListRequest: 1 string head_id, 2 string* batch_ids, 3 ClientPagingControls paging, 4 ClientSortControls*
  sorting

ClientBatchListResponse: 1 int32 status, 2 Batch* batches, 3 string head_id, 4 ClientPagingResponse paging

ClientBatchGetRequest: 1 string batch_id

ClientBatchGetResponse: 1 int32 status, 2 Batch batch

ClientBatchStatus: 1 string batch_id, 2 int32 status, 3 InvalidTransaction* invalid_transactions

InvalidTransaction: 1 string transaction_id, 2 string message, 3 bytes extended_data

ClientBatchSubmitRequest: 1 Batch* batches

ClientBatchSubmitResponse: 1 int32 status

ClientBatchStatusRequest: 1 string* batch_ids, 2 bool wait, 3 uint32 timeout

ClientBatchStatusResponse: 1 int32 status, 2 ClientBatchStatus* batch_statuses

ClientBlockListRequest: 1 string head_id, 2 string* block_ids, 3 ClientPagingControls paging, 4 ClientSortControls*
  sorting

ClientBlockListResponse: 1 int32 status, 2 Block* blocks, 3 string head_id, 4 ClientPagingResponse paging

ClientBlockGetByIdRequest: 1 string block_id

ClientBlockGetByNumRequest: 1 uint64 block_num

ClientBlockGetByTransactionIdRequest: 1 string transaction_id

ClientBlockGetByBatchIdRequest: 1 string batch_id

ClientBlockGetResponse: 1 int32 status, 2 Block block

ClientEventsSubscribeRequest: 1 EventSubscription* subscriptions, 2 string* last_known_block_ids

ClientEventsSubscribeResponse: 1 int32 status, 2 string response_message

ClientEventsUnsubscribeRequest:

ClientEventsUnsubscribeResponse: 1 int32 status

ClientEventsGetRequest: 1 EventSubscription* subscriptions, 2 string* block_ids

ClientEventsGetResponse: 1 int32 status, 2 Event* events

ClientPeersGetRequest:

ClientPeersGetResponse: 1 int32 status, 2 string* peers

ClientReceiptGetRequest: 1 string* transaction_ids

ClientReceiptGetResponse: 1 int32 status, 2 TransactionReceipt* receipts

ClientStateListRequest: 1 string state_root, 3 string address, 4 ClientPagingControls paging, 5 ClientSortControls*
  sorting

ClientStateListResponse: 1 int32 status, 2 StateEntry* entries, 3 string state_root, 4 ClientPagingResponse paging

StateEntry: 1 string address, 2 bytes data

ClientStateGetRequest: 1 string state_root, 3 string address

ClientStateGetResponse: 1 int32 status, 2 bytes value, 3 string state_root

ClientStatusGetRequest:

ClientStatusGetResponse: 1 int32 status, 2 StatusPeer* peers, 3 string endpoint

StatusPeer: 1 string endpoint

ClientTransactionListRequest: 1 string head_id, 2 string* transaction_ids, 3 ClientPagingControls paging, 4
  ClientSortControls* sorting

ClientTransactionListResponse: 1 int32 status, 2 Transaction* transactions, 3 string head_id, 4 ClientPagingResponse
  paging

ClientTransactionGetRequest: 1 string transaction_id

ClientTransactionGetResponse: 1 int32 status, 2 Transaction transaction
"""
