"""The load generator behind `coco bench`: docs/benchmarking.md."""
