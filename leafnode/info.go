package leafnode

import (
	"encoding/json"
	"fmt"
)

// Bounds of what a peer may say of itself. The line as a whole is bounded by who reads it.
const (
	maxEntries = 1000 // of a list
	maxText    = 4096 // bytes of one text: the longest subject
	maxJWT     = 64 << 10
)

// leafProto is the level of the leaf protocol that we understand: 3 would be message tracing.
const leafProto = 1

// A subjectList is one direction of a user's permissions, as INFO has it.
type subjectList struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// limits is what s allows. No s allows everything, as a list without "allow" does.
func (s *subjectList) limits() limits {
	if s == nil {
		return limits{}
	}
	return limits{allow: s.Allow, deny: s.Deny, closed: s.Allow != nil}
}

// list is how l is told to a leaf. Nil: there is nothing to tell.
func (l *limits) list() *subjectList {
	switch {
	case l == nil || !l.closed && len(l.deny) == 0:
		return nil
	case l.closed && len(l.allow) == 0:
		return &subjectList{Deny: []string{">"}} // an empty list does not stand on the wire, and its absence allows all
	}
	return &subjectList{Allow: l.allow, Deny: l.deny}
}

// An info is what one side says of itself: the accepting side when a connection is made, when a leaf
// is let in, and when something changes; the soliciting side once, to agree on compression.
type info struct {
	ServerID      string       `json:"server_id"`
	ServerName    string       `json:"server_name"`
	Version       string       `json:"version"`
	Proto         int          `json:"proto"`
	Go            string       `json:"go"`
	Host          string       `json:"host"`
	Port          int          `json:"port"`
	Headers       bool         `json:"headers"`
	AuthRequired  bool         `json:"auth_required,omitempty"`
	TLSRequired   bool         `json:"tls_required,omitempty"`
	TLSVerify     bool         `json:"tls_verify,omitempty"`
	MaxPayload    int          `json:"max_payload"`
	JetStream     bool         `json:"jetstream,omitempty"`
	IP            string       `json:"ip,omitempty"`
	ClientID      uint64       `json:"client_id,omitempty"`
	Nonce         string       `json:"nonce,omitempty"`
	Cluster       string       `json:"cluster,omitempty"`
	Domain        string       `json:"domain,omitempty"`
	ConnectURLs   []string     `json:"connect_urls,omitempty"` // only listeners of clients have them
	Compression   string       `json:"compression,omitempty"`
	ConnectInfo   bool         `json:"connect_info,omitempty"`
	RemoteAccount string       `json:"remote_account,omitempty"`
	IsSystem      bool         `json:"acc_is_sys,omitempty"`
	Import        *subjectList `json:"import,omitempty"`
	Export        *subjectList `json:"export,omitempty"`
	APILevel      int          `json:"api_lvl,omitempty"`
	InfoOnConnect bool         `json:"info_on_connect,omitempty"`
	LeafURLs      []string     `json:"leafnode_urls,omitempty"`
}

// appendInfo appends the line of it.
func appendInfo(dst []byte, i *info) []byte {
	text, _ := json.Marshal(i) // there is nothing in it that could fail
	dst = append(append(dst, "INFO "...), text...)
	return append(dst, "\r\n"...)
}

// parseInfo reads what follows INFO on its line.
func parseInfo(text []byte) (info, error) {
	var i info
	if err := json.Unmarshal(text, &i); err != nil {
		return info{}, fmt.Errorf("%w: %w", errBadInfo, err)
	}
	fits := textsFit(maxText, i.ServerID, i.ServerName, i.Version, i.Host, i.IP, i.Nonce, i.Cluster, i.Domain, i.Compression, i.RemoteAccount) &&
		listsFit(i.ConnectURLs, i.LeafURLs)
	for _, one := range []*subjectList{i.Import, i.Export} {
		fits = fits && (one == nil || listsFit(one.Allow, one.Deny))
	}
	if !fits {
		return info{}, fmt.Errorf("%w: a text is longer than %d bytes, or a list than %d entries", errBadInfo, maxText, maxEntries)
	}
	return i, nil
}

func textsFit(most int, texts ...string) bool {
	for _, one := range texts {
		if len(one) > most {
			return false
		}
	}
	return true
}

func listsFit(lists ...[]string) bool {
	for _, one := range lists {
		if len(one) > maxEntries || !textsFit(maxText, one...) {
			return false
		}
	}
	return true
}

// A connect is how the soliciting side introduces itself.
type connect struct {
	Version       string   `json:"version,omitempty"`
	NKey          string   `json:"nkey,omitempty"`
	JWT           string   `json:"jwt,omitempty"`
	Signature     string   `json:"sig,omitempty"`
	User          string   `json:"user,omitempty"`
	Password      string   `json:"pass,omitempty"`
	Token         string   `json:"auth_token,omitempty"`
	ServerID      string   `json:"server_id,omitempty"`
	Domain        string   `json:"domain,omitempty"`
	Name          string   `json:"name,omitempty"`
	Hub           bool     `json:"is_hub,omitempty"`
	Isolate       bool     `json:"isolate,omitempty"`
	Cluster       string   `json:"cluster,omitempty"`
	Headers       bool     `json:"headers,omitempty"`
	JetStream     bool     `json:"jetstream,omitempty"`
	DenyPub       []string `json:"deny_pub,omitempty"`
	CompressMode  string   `json:"compress_mode,omitempty"`
	RemoteAccount string   `json:"remote_account,omitempty"` // the soliciting side's own account
	Proto         int      `json:"protocol,omitempty"`

	// Only who has come to the wrong port sends these.
	Gateway string `json:"gateway,omitempty"`
	Lang    string `json:"lang,omitempty"`
}

// appendConnect appends the line of it.
func appendConnect(dst []byte, c *connect) []byte {
	text, _ := json.Marshal(c)
	dst = append(append(dst, "CONNECT "...), text...)
	return append(dst, "\r\n"...)
}

// parseConnect reads what follows CONNECT on its line.
func parseConnect(text []byte) (connect, error) {
	var c connect
	if err := json.Unmarshal(text, &c); err != nil {
		return connect{}, errBadConnect // not the cause: it may quote a password
	}
	if !textsFit(maxText, c.Version, c.NKey, c.Signature, c.User, c.Password, c.Token, c.ServerID, c.Domain, c.Name,
		c.Cluster, c.CompressMode, c.RemoteAccount, c.Gateway, c.Lang) || !textsFit(maxJWT, c.JWT) || !listsFit(c.DenyPub) {
		return connect{}, errBadConnect
	}
	return c, nil
}
