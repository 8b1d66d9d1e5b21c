"""The image, really built and run. Minutes and root: `make image-test`, apart from `make test`."""
