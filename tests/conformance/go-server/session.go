package main

import (
	"errors"
	"strings"

	"github.com/centrifugal/centrifuge"
)

func connecting(authority tokens, o options, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	var c claims
	switch {
	case e.Token != "":
		var err error
		if c, err = authority.verify(e.Token); errors.Is(err, errToken) {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		} else if err != nil {
			return centrifuge.ConnectReply{}, err
		}
	case !o.anonymous:
		return centrifuge.ConnectReply{}, centrifuge.ErrorUnauthorized
	}
	subs := map[string]centrifuge.SubscribeOptions{}
	channels := c.Channels
	if o.personal != "" {
		channels = append(channels, o.personal)
	}
	for _, channel := range channels {
		ns, err := namespaceOf(channel)
		if err != nil {
			return centrifuge.ConnectReply{}, err
		}
		subs[channel] = ns.subscription()
	}
	return centrifuge.ConnectReply{
		Credentials:       &centrifuge.Credentials{UserID: c.Sub, ExpireAt: c.Exp, Info: c.Info},
		ClientSideRefresh: true,
		Subscriptions:     subs,
	}, nil
}

// serve sets the handlers of one connection.
func serve(client *centrifuge.Client, authority tokens) {
	client.OnRefresh(func(e centrifuge.RefreshEvent, done centrifuge.RefreshCallback) {
		c, err := authority.verify(e.Token)
		switch {
		case errors.Is(err, errToken) || (err == nil && c.Sub != client.UserID()):
			done(centrifuge.RefreshReply{}, centrifuge.DisconnectInvalidToken)
		case err != nil:
			done(centrifuge.RefreshReply{Expired: true}, nil)
		default:
			done(centrifuge.RefreshReply{ExpireAt: c.Exp, Info: c.Info}, nil)
		}
	})
	client.OnSubscribe(func(e centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
		ns, err := namespaceOf(e.Channel)
		if err != nil {
			done(centrifuge.SubscribeReply{}, err)
			return
		}
		opts := ns.subscription()
		if strings.HasPrefix(e.Channel, "$") {
			c, err := authority.verify(e.Token)
			if err == nil && (c.Channel != e.Channel || c.Sub != client.UserID()) {
				err = errToken
			}
			if errors.Is(err, errToken) {
				err = centrifuge.ErrorPermissionDenied
			}
			if err != nil {
				done(centrifuge.SubscribeReply{}, err)
				return
			}
			opts.ExpireAt, opts.ChannelInfo = c.Exp, c.Info
		}
		done(centrifuge.SubscribeReply{Options: opts, ClientSideRefresh: true}, nil)
	})
	client.OnSubRefresh(func(e centrifuge.SubRefreshEvent, done centrifuge.SubRefreshCallback) {
		c, err := authority.verify(e.Token)
		if errors.Is(err, errToken) || (err == nil && c.Channel != e.Channel) {
			done(centrifuge.SubRefreshReply{}, centrifuge.DisconnectInvalidToken)
			return
		}
		done(centrifuge.SubRefreshReply{Expired: err != nil, ExpireAt: c.Exp, Info: c.Info}, nil)
	})
	client.OnPublish(func(e centrifuge.PublishEvent, done centrifuge.PublishCallback) {
		ns, err := namespaceOf(e.Channel)
		opts := ns.publication()
		opts.ClientInfo = e.ClientInfo
		if ns.asked && string(e.Data) == `"refused"` {
			err = &centrifuge.Error{Code: 403, Message: "not this one"}
		}
		doors.pass(e.Channel, func() { done(centrifuge.PublishReply{Options: opts}, err) })
	})
	client.OnHistory(func(e centrifuge.HistoryEvent, done centrifuge.HistoryCallback) {
		done(centrifuge.HistoryReply{}, offered(client, e.Channel, func(ns namespace) bool { return ns.historySize > 0 }))
	})
	client.OnPresence(func(e centrifuge.PresenceEvent, done centrifuge.PresenceCallback) {
		done(centrifuge.PresenceReply{}, offered(client, e.Channel, func(ns namespace) bool { return ns.presence }))
	})
	client.OnPresenceStats(func(e centrifuge.PresenceStatsEvent, done centrifuge.PresenceStatsCallback) {
		done(centrifuge.PresenceStatsReply{}, offered(client, e.Channel, func(ns namespace) bool { return ns.presence }))
	})
	client.OnRPC(func(e centrifuge.RPCEvent, done centrifuge.RPCCallback) {
		if e.Method != "echo" {
			done(centrifuge.RPCReply{}, centrifuge.ErrorMethodNotFound)
			return
		}
		done(centrifuge.RPCReply{Data: e.Data}, nil)
	})
}

// offered refuses reads to clients outside the channel, and what its namespace lacks.
func offered(client *centrifuge.Client, channel string, has func(namespace) bool) error {
	ns, err := namespaceOf(channel)
	if err != nil {
		return err
	}
	if !has(ns) {
		return centrifuge.ErrorNotAvailable
	}
	if !client.IsSubscribed(channel) {
		return centrifuge.ErrorPermissionDenied
	}
	return nil
}
