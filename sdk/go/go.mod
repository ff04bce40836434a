module herald.dev/policy

go 1.24
