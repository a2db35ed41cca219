// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {CocoAccess} from "../contracts/CocoAccess.sol";

/// @title Shipments between three organisations, of which each sees its own part
/// @notice The manufacturer deploys the contract and sees everything. The carrier sees where a shipment is picked up
/// and delivered, never what it is or costs. The retailer sees the goods and the price. Anyone else sees nothing,
/// not even whether a shipment exists.
/// @dev Three things keep it so. All state is private, and nobody reads storage on Coco. Accessors look at
/// msg.sender, which on Coco is proven in eth_call too. And no event indexes an address, because a log may be read
/// by the addresses in its indexed topics: here _mayReadLog alone decides.
contract SupplyChain is CocoAccess {
    enum Status {
        None,
        Created,
        Accepted,
        InTransit,
        Delivered,
        Received
    }

    enum Role {
        None,
        Manufacturer,
        Carrier,
        Retailer
    }

    struct Shipment {
        address carrier;
        Status status;
        address retailer;
        uint256 quantity;
        uint256 priceCents;
        string goods;
        string pickup;
        string destination;
        string condition;
    }

    /// The caller has no part in this shipment, or there is no such shipment: the answer is the same.
    error NotAParty();
    /// The caller has a part in the shipment, but not the one that this takes.
    error NotForYourRole();
    /// The shipment is not where this step begins.
    error WrongStatus(Status current, Status required);
    /// The manufacturer used this id before.
    error ShipmentExists();
    /// Carrier and retailer must be two addresses, neither zero nor the manufacturer's.
    error BadParties();

    /// For the manufacturer and the carrier.
    event LegAssigned(bytes32 indexed id, string pickup, string destination);
    /// For the manufacturer and the retailer.
    event GoodsDeclared(bytes32 indexed id, string goods, uint256 quantity, uint256 priceCents);
    /// For all three.
    event StatusChanged(bytes32 indexed id, Status status);
    /// For all three.
    event ConditionReported(bytes32 indexed id, string condition);

    // Not immutable: an immutable is a part of the code, and eth_getCode shows the code.
    address private manufacturer;
    mapping(bytes32 id => Shipment) private shipments;
    mapping(address party => bytes32[]) private shipmentsOf;

    constructor() {
        manufacturer = msg.sender;
    }

    // Steps, in the order in which they are taken.

    /// @notice Manufacturer: starts a shipment under an id of its choice.
    function createShipment(
        bytes32 id,
        address carrier,
        address retailer,
        string memory goods,
        uint256 quantity,
        uint256 priceCents,
        string memory pickup,
        string memory destination
    ) external {
        if (msg.sender != manufacturer) revert NotAParty();
        if (shipments[id].status != Status.None) revert ShipmentExists();
        if (carrier == address(0) || retailer == address(0) || carrier == retailer) revert BadParties();
        if (carrier == manufacturer || retailer == manufacturer) revert BadParties();

        shipments[id] = Shipment({
            carrier: carrier,
            status: Status.Created,
            retailer: retailer,
            quantity: quantity,
            priceCents: priceCents,
            goods: goods,
            pickup: pickup,
            destination: destination,
            condition: ""
        });
        shipmentsOf[manufacturer].push(id);
        shipmentsOf[carrier].push(id);
        shipmentsOf[retailer].push(id);

        emit LegAssigned(id, pickup, destination);
        emit GoodsDeclared(id, goods, quantity, priceCents);
        emit StatusChanged(id, Status.Created);
    }

    /// @notice Carrier: takes the job.
    function accept(bytes32 id) external {
        _step(id, Role.Carrier, Status.Created, Status.Accepted);
    }

    /// @notice Carrier: has the goods on board.
    function pickUp(bytes32 id) external {
        _step(id, Role.Carrier, Status.Accepted, Status.InTransit);
    }

    /// @notice Carrier: has handed the goods over, in the condition described.
    function deliver(bytes32 id, string calldata condition) external {
        _step(id, Role.Carrier, Status.InTransit, Status.Delivered);
        shipments[id].condition = condition;
        emit ConditionReported(id, condition);
    }

    /// @notice Retailer: has the goods.
    function confirmReceipt(bytes32 id) external {
        _step(id, Role.Retailer, Status.Delivered, Status.Received);
    }

    // What each party may read.

    /// @notice The shipments the caller has a part in; for a stranger, none.
    function myShipments() external view returns (bytes32[] memory) {
        return shipmentsOf[msg.sender];
    }

    /// @notice All three: how far the shipment is, and its condition once it is delivered.
    function statusOf(bytes32 id) external view returns (Status status, string memory condition) {
        _requireRole(id, Role.None);
        return (shipments[id].status, shipments[id].condition);
    }

    /// @notice Manufacturer and carrier: the leg.
    function legOf(bytes32 id) external view returns (string memory pickup, string memory destination) {
        _requireRole(id, Role.Carrier);
        return (shipments[id].pickup, shipments[id].destination);
    }

    /// @notice Manufacturer and retailer: the goods.
    function goodsOf(bytes32 id)
        external
        view
        returns (string memory goods, uint256 quantity, uint256 priceCents)
    {
        _requireRole(id, Role.Retailer);
        return (shipments[id].goods, shipments[id].quantity, shipments[id].priceCents);
    }

    /// @notice Manufacturer: who carries and who receives.
    function partiesOf(bytes32 id) external view returns (address carrier, address retailer) {
        _requireRole(id, Role.Manufacturer);
        return (shipments[id].carrier, shipments[id].retailer);
    }

    // Who is who.

    /// @dev Every log has the shipment's id as its first indexed parameter.
    function _mayReadLog(address reader, bytes32[] calldata topics, bytes calldata)
        internal
        view
        override
        returns (bool)
    {
        if (topics.length < 2) return false;
        Role role = _roleIn(topics[1], reader);
        if (role == Role.None) return false;
        if (topics[0] == LegAssigned.selector) return role != Role.Retailer;
        if (topics[0] == GoodsDeclared.selector) return role != Role.Carrier;
        return topics[0] == StatusChanged.selector || topics[0] == ConditionReported.selector;
    }

    function _step(bytes32 id, Role role, Status from, Status to) private {
        // Unlike when reading, the manufacturer may not act for the others.
        Role callers = _roleIn(id, msg.sender);
        if (callers == Role.None) revert NotAParty();
        if (callers != role) revert NotForYourRole();
        Status current = shipments[id].status;
        if (current != from) revert WrongStatus(current, from);
        shipments[id].status = to;
        emit StatusChanged(id, to);
    }

    /// @dev Lets the manufacturer read everything, and the role given; with Role.None, every party.
    function _requireRole(bytes32 id, Role role) private view {
        Role callers = _roleIn(id, msg.sender);
        if (callers == Role.None) revert NotAParty();
        if (callers != Role.Manufacturer && role != Role.None && callers != role) revert NotForYourRole();
    }

    /// @dev A stranger takes the same path, for the same gas, whether the shipment exists or not. An unknown
    /// shipment has the zero address for its parties, and a caller without an address has it too: hence the check.
    function _roleIn(bytes32 id, address who) private view returns (Role) {
        Shipment storage shipment = shipments[id];
        if (who == address(0)) return Role.None;
        if (who == shipment.carrier) return Role.Carrier;
        if (who == shipment.retailer) return Role.Retailer;
        if (who == manufacturer && shipment.status != Status.None) return Role.Manufacturer;
        return Role.None;
    }
}
