// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title A constant-product pair of the shape of Uniswap's second version: reserves in one slot, a lock, prices over
/// time, 0.3 % of the input as a fee, and the product checked on what was really received
contract Pair is ERC20 {
    event Mint(address indexed sender, uint256 amount0, uint256 amount1);
    event Swap(
        address indexed sender,
        uint256 amount0In,
        uint256 amount1In,
        uint256 amount0Out,
        uint256 amount1Out,
        address indexed to
    );
    event Sync(uint112 reserve0, uint112 reserve1);

    address public immutable token0;
    address public immutable token1;
    uint112 private _reserve0;
    uint112 private _reserve1;
    uint32 private _lastTimestamp;
    uint256 public price0CumulativeLast;
    uint256 public price1CumulativeLast;
    uint256 private _unlocked = 1;

    constructor(address first, address second) ERC20("Pair", "PAIR") {
        token0 = first;
        token1 = second;
    }

    modifier lock() {
        require(_unlocked == 1, "locked");
        _unlocked = 0;
        _;
        _unlocked = 1;
    }

    function getReserves() public view returns (uint112, uint112, uint32) {
        return (_reserve0, _reserve1, _lastTimestamp);
    }

    /// @notice Takes what was sent to the pair as liquidity.
    function mint(address to) external lock returns (uint256 liquidity) {
        (uint112 reserve0, uint112 reserve1, ) = getReserves();
        uint256 balance0 = IERC20(token0).balanceOf(address(this));
        uint256 balance1 = IERC20(token1).balanceOf(address(this));
        uint256 amount0 = balance0 - reserve0;
        uint256 amount1 = balance1 - reserve1;
        liquidity = amount0 < amount1 ? amount0 : amount1;
        require(liquidity > 0, "nothing was sent");
        _mint(to, liquidity);
        _update(balance0, balance1, reserve0, reserve1);
        emit Mint(msg.sender, amount0, amount1);
    }

    /// @notice Gives out the amounts asked for, if what was sent to the pair before pays for them.
    function swap(uint256 amount0Out, uint256 amount1Out, address to) external lock {
        require(amount0Out > 0 || amount1Out > 0, "nothing asked for");
        (uint112 reserve0, uint112 reserve1, ) = getReserves();
        require(amount0Out < reserve0 && amount1Out < reserve1, "not enough liquidity");
        uint256 balance0;
        uint256 balance1;
        {
            address first = token0;
            address second = token1;
            require(to != first && to != second, "to a token");
            if (amount0Out > 0) _send(first, to, amount0Out);
            if (amount1Out > 0) _send(second, to, amount1Out);
            balance0 = IERC20(first).balanceOf(address(this));
            balance1 = IERC20(second).balanceOf(address(this));
        }
        uint256 amount0In = balance0 > reserve0 - amount0Out ? balance0 - (reserve0 - amount0Out) : 0;
        uint256 amount1In = balance1 > reserve1 - amount1Out ? balance1 - (reserve1 - amount1Out) : 0;
        require(amount0In > 0 || amount1In > 0, "nothing was sent");
        {
            uint256 adjusted0 = balance0 * 1000 - amount0In * 3;
            uint256 adjusted1 = balance1 * 1000 - amount1In * 3;
            require(adjusted0 * adjusted1 >= uint256(reserve0) * uint256(reserve1) * 1000 ** 2, "too little was sent");
        }
        _update(balance0, balance1, reserve0, reserve1);
        emit Swap(msg.sender, amount0In, amount1In, amount0Out, amount1Out, to);
    }

    function _send(address token, address to, uint256 amount) private {
        (bool done, bytes memory data) = token.call(abi.encodeCall(IERC20.transfer, (to, amount)));
        require(done && (data.length == 0 || abi.decode(data, (bool))), "transfer failed");
    }

    function _update(uint256 balance0, uint256 balance1, uint112 reserve0, uint112 reserve1) private {
        require(balance0 <= type(uint112).max && balance1 <= type(uint112).max, "overflow");
        uint32 timestamp = uint32(block.timestamp % 2 ** 32);
        unchecked {
            uint32 elapsed = timestamp - _lastTimestamp;
            if (elapsed > 0 && reserve0 != 0 && reserve1 != 0) {
                price0CumulativeLast += uint256((uint224(reserve1) << 112) / reserve0) * elapsed;
                price1CumulativeLast += uint256((uint224(reserve0) << 112) / reserve1) * elapsed;
            }
        }
        _reserve0 = uint112(balance0);
        _reserve1 = uint112(balance1);
        _lastTimestamp = timestamp;
        emit Sync(_reserve0, _reserve1);
    }
}
