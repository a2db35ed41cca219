// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title An ERC-721 token that anyone may mint: OpenZeppelin's, with a counter
contract Nft is ERC721 {
    uint256 private _next;

    constructor() ERC721("Benchmark", "BENCH") {}

    function mint(address to) external returns (uint256 id) {
        id = ++_next;
        _mint(to, id);
    }
}
