//! AWS: `k8s-aws-v1.` tokens and STS `GetCallerIdentity` (AWS Security Token Service API Reference).
