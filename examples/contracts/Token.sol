// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title An ERC-20 token as anyone would write it: OpenZeppelin's, with nothing of Coco in it
contract Token is ERC20 {
    /// @param supply The whole supply in the smallest unit (10^-18 of a token). The deployer gets it.
    constructor(string memory name, string memory symbol, uint256 supply) ERC20(name, symbol) {
        _mint(msg.sender, supply);
    }
}
