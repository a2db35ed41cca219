// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title A register of parcels: what each tool deploys, uses, and makes fail
contract Parcels {
    error NotTheHolder(address caller, uint256 parcel);
    error UnknownParcel(uint256 parcel);

    event Moved(uint256 indexed parcel, address indexed from, address indexed to, string note);

    string public depot;
    mapping(uint256 => address) private holders;

    constructor(string memory name) {
        depot = name;
    }

    function register(uint256 parcel) external {
        require(holders[parcel] == address(0), "parcel exists");
        holders[parcel] = msg.sender;
        emit Moved(parcel, address(0), msg.sender, "registered");
    }

    function move(uint256 parcel, address to, string calldata note) external {
        if (holderOf(parcel) != msg.sender) revert NotTheHolder(msg.sender, parcel);
        holders[parcel] = to;
        emit Moved(parcel, msg.sender, to, note);
    }

    function holderOf(uint256 parcel) public view returns (address holder) {
        holder = holders[parcel];
        if (holder == address(0)) revert UnknownParcel(parcel);
    }
}
