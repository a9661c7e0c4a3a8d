package broker

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// ClientInfo is what is said of a client: to services in other accounts, in a header, and in events.
// The keys, and their order, are those of nats-server 2.15.2.
type ClientInfo struct {
	Start      *time.Time    `json:"start,omitempty"`
	Host       string        `json:"host,omitempty"`
	ID         uint64        `json:"id,omitempty"`
	Account    string        `json:"acc,omitempty"`
	Service    string        `json:"svc,omitempty"`
	User       string        `json:"user,omitempty"`
	Name       string        `json:"name,omitempty"`
	Lang       string        `json:"lang,omitempty"`
	Version    string        `json:"ver,omitempty"`
	RTT        time.Duration `json:"rtt,omitempty"`
	Server     string        `json:"server,omitempty"`
	Cluster    string        `json:"cluster,omitempty"`
	Stop       *time.Time    `json:"stop,omitempty"`
	JWT        string        `json:"jwt,omitempty"`
	IssuerKey  string        `json:"issuer_key,omitempty"`
	NameTag    string        `json:"name_tag,omitempty"`
	Tags       []string      `json:"tags,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	ClientType string        `json:"client_type,omitempty"`
	MQTTClient string        `json:"client_id,omitempty"`
	Nonce      string        `json:"nonce,omitempty"`
}

// An Informant is a Sink that can say who it is. It is asked on the goroutine that publishes for it.
type Informant interface {
	// ClientInfo tells the round trip time and the server, and all else if details is set. The account
	// is known.
	ClientInfo(details bool) ClientInfo
}

// infoHeader is the header that tells a service who asks.
const infoHeader = "Nats-Request-Info"

// about fills in what the service is told of p, which asks from account a. Nothing but the account and the
// round trip time, unless the importer shares more; the system account learns the server as well. On
// the second hop and later it is what the first one has told, with the account in between.
func about(info *ClientInfo, p *Peer, a *Account, service *serviceImport, way *hop) {
	share := service.of.Share
	system := service.exporter.isSystem()
	informant, knows := p.sink.(Informant)
	if way != nil && way.told {
		*info = way.info
		info.Service = a.name
		if !way.share && (share || system) && knows {
			i := informant.ClientInfo(false)
			info.Server, info.Cluster = i.Server, i.Cluster
		}
		return
	}
	*info = ClientInfo{}
	if knows {
		*info = informant.ClientInfo(share)
		if !share && !system {
			info.Server, info.Cluster = "", ""
		}
	}
	info.Account = p.account.name
}

func (a *Account) isSystem() bool {
	r := a.rules.Load()
	return r != nil && r.of.System
}

// withInfo is a header with info in it, which replaces any that was there: nobody says of himself who
// he is.
func (l *Lane) withInfo(header []byte, info *ClientInfo, a *Account) []byte {
	at := len(l.text)
	b := appendWithout(l.text, header)
	b = append(b, infoHeader+": "...)
	b = info.append(b, a)
	l.text = append(b, "\r\n\r\n"...)
	return l.text[at:len(l.text):len(l.text)]
}

// appendWithout appends header but for its last, empty line and for what infoHeader says in it.
func appendWithout(b, header []byte) []byte {
	const end = "\r\n"
	if len(header) <= len(end) {
		return append(b, "NATS/1.0\r\n"...)
	}
	rest := header[:len(header)-len(end)]
	for {
		i := bytes.Index(rest, infoLine)
		if i < 0 {
			if b = append(b, rest...); !bytes.HasSuffix(rest, infoLine[:len(end)]) {
				b = append(b, end...) // cut off by whoever has made it; ours must be a line of its own
			}
			return b
		}
		b = append(b, rest[:i]...)
		next := bytes.Index(rest[i+len(end):], infoLine[:len(end)])
		if next < 0 {
			return append(b, end...)
		}
		rest = rest[i+len(end)+next:]
	}
}

var infoLine = []byte("\r\n" + infoHeader + ":")

// append appends info in JSON. What is shown without details is written by hand: it is what most
// requests have.
func (info *ClientInfo) append(b []byte, a *Account) []byte {
	if plain := (ClientInfo{Account: info.Account, RTT: info.RTT}); info.equal(&plain) && info.Account == a.name {
		b = append(append(b, `{"acc":`...), a.quoted...)
		if info.RTT != 0 {
			b = strconv.AppendInt(append(b, `,"rtt":`...), int64(info.RTT), 10)
		}
		return append(b, '}')
	}
	text, err := json.Marshal(*info)
	if err != nil {
		return append(b, "{}"...) // a time beyond the year 9999
	}
	return append(b, text...)
}

// equal compares all but tags, which come with details only.
func (info *ClientInfo) equal(other *ClientInfo) bool {
	return info.Start == other.Start && info.Host == other.Host && info.ID == other.ID &&
		info.Account == other.Account && info.Service == other.Service && info.User == other.User &&
		info.Name == other.Name && info.Server == other.Server && info.Cluster == other.Cluster &&
		info.Kind == other.Kind && len(info.Tags) == 0
}
