// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Loops that do nothing but compute
contract Loops {
    uint256 public result;

    /// @notice Hashes a word over and over.
    function hashes(uint256 times) external {
        bytes32 word = bytes32(times);
        for (uint256 i = 0; i < times; i++) {
            word = keccak256(abi.encodePacked(word, i));
        }
        result = uint256(word);
    }

    /// @notice Checked and unchecked arithmetic on words of all sizes.
    function arithmetic(uint256 times) external {
        uint256 sum = 1;
        uint256 mix = times;
        for (uint256 i = 1; i <= times; i++) {
            sum = (sum * 31 + i) % 1_000_000_007;
            unchecked {
                mix = mix * 6364136223846793005 + 1442695040888963407;
                mix ^= mix >> 33;
            }
            sum += mix & 0xffff;
        }
        result = sum ^ mix;
    }
}
