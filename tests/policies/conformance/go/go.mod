module conformance

go 1.24

require herald.dev/policy v0.1.0

replace herald.dev/policy => ../../../../sdk/go
