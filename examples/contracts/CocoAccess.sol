// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title The check-access method of a Coco contract
/// @notice A contract that implements this interface decides who may read its logs. Whoever sent the transaction,
/// and every address in a log's indexed topics, may read the log anyway; the contract admits others.
/// @dev The node finds the interface by ERC-165, and asks with a static call before it serves a log. An answer of
/// false, a revert, or running out of gas all deny.
interface ICocoAccess {
    /// @param reader One of the addresses bound to the identity that asks. The node calls as this address
    /// (msg.sender == reader), so that nobody can ask what others may read.
    /// @param topics The topics of the log; topics[0] is the event's selector unless the event is anonymous.
    /// @param data The unindexed parameters of the log, ABI-encoded.
    /// @return Whether the reader may read the log.
    function cocoMayReadLog(address reader, bytes32[] calldata topics, bytes calldata data)
        external
        view
        returns (bool);
}

/// @title A base for contracts that decide who may read their logs
/// @notice Inherit it and say in _mayReadLog who may. Everything else is done here.
abstract contract CocoAccess is ICocoAccess {
    bytes4 private constant ERC165_ID = 0x01ffc9a7;

    /// @notice Tells which interfaces the contract implements (ERC-165).
    function supportsInterface(bytes4 interfaceId) public view virtual returns (bool) {
        return interfaceId == ERC165_ID || interfaceId == type(ICocoAccess).interfaceId;
    }

    /// @inheritdoc ICocoAccess
    function cocoMayReadLog(address reader, bytes32[] calldata topics, bytes calldata data)
        external
        view
        returns (bool)
    {
        // Anyone can call this function by eth_call. Answering for somebody else would tell who deals with whom.
        if (msg.sender != reader || topics.length == 0) return false;
        return _mayReadLog(reader, topics, data);
    }

    /// @dev `topics` has at least one element. Take care with address(0): a caller without an address has it.
    function _mayReadLog(address reader, bytes32[] calldata topics, bytes calldata data)
        internal
        view
        virtual
        returns (bool);
}
