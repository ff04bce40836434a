package apiserver

import (
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// startEtcd runs an etcd server inside this process, on loopback ports the
// kernel picks, and returns its client address. Nothing is synced to disk.
func startEtcd(dir string) (*embed.Etcd, string, error) {
	wal.SegmentSizeBytes = 1 << 20 // else each of the log's files takes 64 MiB of disk at once
	any := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "panic" // at "error", closing it logs each listener it closes
	cfg.LogOutputs = []string{"stderr"}
	cfg.UnsafeNoFsync = true
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = any, any
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = any, any
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("starting etcd: %w", err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		e.Close()
		return nil, "", fmt.Errorf("etcd was not ready after 30 s")
	}
	return e, "http://" + e.Clients[0].Addr().String(), nil
}
