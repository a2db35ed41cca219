"""What passes between a validator and a transaction processor, and while a connection is made."""

PROCESSOR = """
TpStateEntry: 1 string address, 2 bytes data

TpStateGetRequest: 1 string context_id, 2 string* addresses

TpStateGetResponse: 1 TpStateEntry* entries, 2 int32 status

TpStateSetRequest: 1 string context_id, 2 TpStateEntry* entries

TpStateSetResponse: 1 string* addresses, 2 int32 status

TpStateDeleteRequest: 1 string context_id, 2 string* addresses

TpStateDeleteResponse: 1 string* addresses, 2 int32 status

TpReceiptAddDataRequest: 1 string context_id, 3 bytes data

TpReceiptAddDataResponse: 2 int32 status

TpEventAddRequest: 1 string context_id, 2 Event event

TpEventAddResponse: 2 int32 status

TpRegisterRequest: 1 string family, 2 string version, 4 string* namespaces, 5 uint32 max_occupancy, 6 uint32
  protocol_version, 7 int32 request_header_style

TpRegisterResponse: 1 int32 status, 2 uint32 protocol_version

TpUnregisterRequest:

TpUnregisterResponse: 1 int32 status

TpProcessRequest: 1 TransactionHeader header, 2 bytes payload, 3 string signature, 4 string context_id, 5 bytes
  header_bytes

TpProcessResponse: 1 int32 status, 2 string message, 3 bytes extended_data

ConnectionRequest: 1 string endpoint

ConnectionResponse: 1 ConnectionResponseRoleEntry* roles, 2 int32 status

ConnectionResponseRoleEntry: 1 int32 role, 2 int32 auth_type

AuthorizationTrustRequest: 1 int32* roles, 2 string public_key

AuthorizationTrustResponse: 1 int32* roles

AuthorizationViolation: 1 int32 violation

AuthorizationChallengeRequest:

AuthorizationChallengeResponse: 1 bytes payload

AuthorizationChallengeSubmit: 1 string public_key, 3 string signature, 4 int32* roles

AuthorizationChallengeResult: 1 int32* roles

PingRequest:

PingResponse:

NetworkAcknowledgement: 1 int32 status

DisconnectMessage:
"""
