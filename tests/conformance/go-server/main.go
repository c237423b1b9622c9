// A plain Centrifuge server: the peer that Homing's SDK and the official client
// are both run against, and the one the benchmarks are measured beside.
//
// Channels behave by the name before their first ':' (see namespaces.go), tokens
// are HS256, and tests steer it over HTTP under /control/. It knows none of
// Homing's extras and is never meant to serve anyone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
)

type options struct {
	listen    string
	secret    string
	anonymous bool
	redis     string
	prefix    string
	ping      time.Duration
	pong      time.Duration
	personal  string
	verbose   bool
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on; the chosen one is printed")
	flag.StringVar(&o.secret, "secret", "secret", "HS256 key of connection and subscription tokens")
	flag.BoolVar(&o.anonymous, "anonymous", true, "let clients connect without a token")
	flag.StringVar(&o.redis, "redis", "", "address of a Redis that holds history and presence, such as 127.0.0.1:6379")
	flag.StringVar(&o.prefix, "redis-prefix", "peer", "what every Redis key starts with")
	flag.DurationVar(&o.ping, "ping", 25*time.Second, "interval of the pings sent to clients")
	flag.DurationVar(&o.pong, "pong", 8*time.Second, "time a client has to answer a ping")
	flag.StringVar(&o.personal, "server-side", "", "a channel every connection is subscribed to by the server")
	flag.BoolVar(&o.verbose, "verbose", false, "log what the server does")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	config := centrifuge.Config{
		HistoryMaxPublicationLimit:  300,
		RecoveryMaxPublicationLimit: 300,
		ClientStaleCloseDelay:       10 * time.Second,
	}
	if o.verbose {
		config.LogLevel = centrifuge.LogLevelDebug
		config.LogHandler = func(e centrifuge.LogEntry) { log.Println(e.Message, e.Fields) }
	}
	node, err := centrifuge.New(config)
	if err != nil {
		return err
	}
	if o.redis != "" {
		if err := useRedis(node, o); err != nil {
			return err
		}
	}
	authority := tokens{secret: []byte(o.secret)}
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return connecting(authority, o, e)
	})
	node.OnConnect(func(client *centrifuge.Client) { serve(client, authority) })
	if err := node.Run(); err != nil {
		return err
	}

	pings := centrifuge.PingPongConfig{PingInterval: o.ping, PongTimeout: o.pong}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:        func(*http.Request) bool { return true },
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
		PingPongConfig:     pings,
	}))
	mux.Handle("/connection/http_stream", centrifuge.NewHTTPStreamHandler(node, centrifuge.HTTPStreamConfig{PingPongConfig: pings}))
	mux.Handle("/connection/sse", centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{PingPongConfig: pings}))
	mux.Handle("/emulation", centrifuge.NewEmulationHandler(node, centrifuge.EmulationConfig{}))
	control(mux, node)
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())

	server := &http.Server{Handler: mux}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stop
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = node.Shutdown(ctx)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func useRedis(node *centrifuge.Node, o options) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: o.redis})
	if err != nil {
		return err
	}
	shards := []*centrifuge.RedisShard{shard}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Prefix: o.prefix, Shards: shards})
	if err != nil {
		return err
	}
	presence, err := centrifuge.NewRedisPresenceManager(node, centrifuge.RedisPresenceManagerConfig{
		Prefix: o.prefix, Shards: shards,
	})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	node.SetPresenceManager(presence)
	return nil
}
