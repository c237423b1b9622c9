package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

var errToken = errors.New("token is malformed or its signature is wrong")

type claims struct {
	Sub      string          `json:"sub"`
	Exp      int64           `json:"exp"`
	Info     json.RawMessage `json:"info"`
	Channels []string        `json:"channels"`
	Channel  string          `json:"channel"`
}

type tokens struct{ secret []byte }

// verify answers errToken for anything but a well signed HS256 token, and
// ErrorTokenExpired for one whose time has passed.
func (t tokens) verify(token string) (claims, error) {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errToken
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if decode(parts[0], &header) != nil || header.Alg != "HS256" {
		return c, errToken
	}
	given, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return c, errToken
	}
	mac := hmac.New(sha256.New, t.secret)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if !hmac.Equal(given, mac.Sum(nil)) || decode(parts[1], &c) != nil {
		return c, errToken
	}
	if c.Exp > 0 && c.Exp <= time.Now().Unix() {
		return c, centrifuge.ErrorTokenExpired
	}
	return c, nil
}

func decode(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}
