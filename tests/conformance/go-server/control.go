package main

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/centrifugal/centrifuge"
)

type order struct {
	User    string          `json:"user"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Code    uint32          `json:"code"`
	Reason  string          `json:"reason"`
}

// doors are the channels whose publishes wait, and what waits there, in order.
var doors = held{waiting: map[string][]func(){}}

type held struct {
	sync.Mutex
	waiting map[string][]func()
}

func (h *held) hold(channel string) {
	h.Lock()
	defer h.Unlock()
	h.waiting[channel] = []func(){}
}

func (h *held) release(channel string) {
	h.Lock()
	defer h.Unlock()
	for _, publish := range h.waiting[channel] {
		publish()
	}
	delete(h.waiting, channel)
}

func (h *held) pass(channel string, publish func()) {
	h.Lock()
	waiting, holds := h.waiting[channel]
	if holds {
		h.waiting[channel] = append(waiting, publish)
	}
	h.Unlock()
	if !holds {
		publish()
	}
}

// control lets a test act as the server: publish, hold the publishes to a channel,
// and end subscriptions or connections of a user. Every order is a POST of JSON, answered with JSON.
func control(mux *http.ServeMux, node *centrifuge.Node) {
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{}, nil) })
	handle(mux, "/control/publish", func(o order) (any, error) {
		ns, err := namespaceOf(o.Channel)
		if err != nil {
			return nil, err
		}
		result, err := node.Publish(o.Channel, o.Data, centrifuge.WithHistory(ns.historySize, ns.historyTTL))
		return map[string]any{"offset": result.Offset, "epoch": result.Epoch}, err
	})
	handle(mux, "/control/hold", func(o order) (any, error) {
		doors.hold(o.Channel)
		return map[string]any{}, nil
	})
	handle(mux, "/control/release", func(o order) (any, error) {
		doors.release(o.Channel)
		return map[string]any{}, nil
	})
	handle(mux, "/control/unsubscribe", func(o order) (any, error) {
		code := centrifuge.Unsubscribe{Code: o.Code, Reason: o.Reason}
		return map[string]any{}, node.Unsubscribe(o.User, o.Channel, centrifuge.WithCustomUnsubscribe(code))
	})
	handle(mux, "/control/disconnect", func(o order) (any, error) {
		code := centrifuge.Disconnect{Code: o.Code, Reason: o.Reason}
		return map[string]any{}, node.Disconnect(o.User, centrifuge.WithCustomDisconnect(code))
	})
}

func handle(mux *http.ServeMux, path string, act func(order) (any, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			answer(w, nil, err)
			return
		}
		result, err := act(o)
		answer(w, result, err)
	})
}

func answer(w http.ResponseWriter, result any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		result = map[string]any{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(result)
}
