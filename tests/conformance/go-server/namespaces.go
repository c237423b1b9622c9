package main

import (
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

// namespace is what the channels of one prefix offer. tests/conformance/homing.toml
// holds the same table for Homing's server: the two change together.
type namespace struct {
	historySize int
	historyTTL  time.Duration
	recover     bool
	cache       bool
	presence    bool
	joinLeave   bool
	asked       bool
	closed      bool
}

var namespaces = map[string]namespace{
	"":      {},
	"chat":  {historySize: 300, historyTTL: 10 * time.Minute, recover: true, presence: true, joinLeave: true},
	"short": {historySize: 5, historyTTL: 10 * time.Minute, recover: true},
	// Keeps more than one recovery brings.
	"long":  {historySize: 2000, historyTTL: 10 * time.Minute, recover: true},
	"cache": {historySize: 1, historyTTL: 10 * time.Minute, recover: true, cache: true},
	// Refuses the message "refused", and lets others wait while their channel is held.
	"asked": {historySize: 300, historyTTL: 10 * time.Minute, recover: true, asked: true},
	"bench": {historySize: 100, historyTTL: time.Minute, recover: true},
	// Known, and closed to every client.
	"closed": {closed: true},
}

func namespaceOf(channel string) (namespace, error) {
	name, _, found := strings.Cut(strings.TrimPrefix(channel, "$"), ":")
	if !found {
		name = ""
	}
	ns, known := namespaces[name]
	if !known {
		return ns, centrifuge.ErrorUnknownChannel
	}
	if ns.closed {
		return ns, centrifuge.ErrorPermissionDenied
	}
	return ns, nil
}

func (ns namespace) subscription() centrifuge.SubscribeOptions {
	opts := centrifuge.SubscribeOptions{
		EmitPresence:   ns.presence,
		EmitJoinLeave:  ns.joinLeave,
		PushJoinLeave:  ns.joinLeave,
		EnableRecovery: ns.recover,
	}
	if ns.cache {
		opts.RecoveryMode = centrifuge.RecoveryModeCache
	}
	return opts
}

func (ns namespace) publication() centrifuge.PublishOptions {
	return centrifuge.PublishOptions{HistorySize: ns.historySize, HistoryTTL: ns.historyTTL}
}
