// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

interface IPair {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function getReserves() external view returns (uint112, uint112, uint32);
    function swap(uint256 amount0Out, uint256 amount1Out, address to) external;
}

/// @title Sells an exact amount to a pair, as Uniswap's router does
contract Router {
    function sell(IPair pair, bool first, uint256 amountIn, uint256 least, address to) external returns (uint256 out) {
        (uint112 reserve0, uint112 reserve1, ) = pair.getReserves();
        (uint256 reserveIn, uint256 reserveOut) = first ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 paid = amountIn * 997;
        out = (paid * reserveOut) / (reserveIn * 1000 + paid);
        require(out >= least, "too little comes out");
        IERC20 token = IERC20(first ? pair.token0() : pair.token1());
        require(token.transferFrom(msg.sender, address(pair), amountIn), "transfer failed");
        pair.swap(first ? 0 : out, first ? out : 0, to);
    }
}
