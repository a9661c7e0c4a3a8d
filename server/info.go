package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"runtime"
	"strconv"
)

// makeInfo prepares the parts of INFO that are the same for all connections of a listener.
func (set *settings) makeInfo() {
	b := append([]byte(nil), `INFO {"server_id":`...)
	b = appendJSON(b, set.ID)
	b = appendJSON(append(b, `,"server_name":`...), set.ServerName)
	b = appendJSON(append(b, `,"version":`...), featureLevel)
	if set.Version != "" {
		b = appendJSON(append(b, `,"edgebus_version":`...), set.Version)
	}
	b = appendJSON(append(b, `,"proto":1,"go":`...), runtime.Version())
	if set.XKey != "" {
		b = appendJSON(append(b, `,"xkey":`...), set.XKey)
	}
	set.infoHead = b

	set.infoBody = strconv.AppendBool([]byte(`"headers":`), !set.NoHeaderSupport)
	b = nil
	if t := set.TLS; t != nil {
		if !t.Security.MayBePlain {
			b = append(b, `,"tls_required":true`...)
		}
		if t.Verify {
			b = append(b, `,"tls_verify":true`...)
		}
		if t.Security.MayBePlain {
			b = append(b, `,"tls_available":true`...)
		}
	}
	set.infoTail = append(b, `,"max_payload":`...)
}

func appendJSON(b []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string has no error
	return append(b, quoted...)
}

// An infoKind is when an INFO is sent. Clients replace their copy by each, so each is complete.
type infoKind uint8

const (
	infoFirst    infoKind = iota // before anything else
	infoConnect                  // after the first PONG
	infoLameDuck                 // the server is about to close its clients
	infoStays                    // it is not, after all
)

// infoRoom is the most that an INFO takes besides its prepared parts and the account's name, which
// is JSON by then.
const infoRoom = 320

// An infoOf is what an INFO says of one connection.
type infoOf struct {
	kind       infoKind
	id         uint64
	from       netip.Addr
	maxPayload int
	account    []byte // its name as JSON; nil: none yet
	isSystem   bool   // the account is the system account
	nonce      []byte // nil: none
	lame       bool   // the server, or this client alone, is to go elsewhere
}

// appendInfo appends a whole INFO line for one connection.
func (d *door) appendInfo(b []byte, set *settings, o *infoOf) []byte {
	b = append(b, set.infoHead...)
	b = append(b, d.address...)
	b = append(b, set.infoBody...)
	// A client that was let in as no_auth_user learns afterwards that others are asked for more;
	// nats-server does the same.
	if set.directory.Announced() || o.kind != infoFirst && set.directory.Required() {
		b = append(b, `,"auth_required":true`...)
	}
	b = append(b, set.infoTail...)
	b = strconv.AppendInt(b, int64(o.maxPayload), 10)
	b = strconv.AppendUint(append(b, `,"client_id":`...), o.id, 10)
	b = append(b, `,"client_ip":"`...)
	if o.from.IsValid() {
		b = o.from.AppendTo(b)
	}
	b = append(b, '"')
	if o.nonce != nil {
		b = append(append(append(b, `,"nonce":"`...), o.nonce...), '"')
	}
	if o.lame {
		b = append(b, `,"ldm":true`...)
	}
	if o.kind == infoConnect {
		b = append(b, `,"connect_info":true,"remote_account":`...)
		b = append(b, o.account...)
		if o.isSystem {
			b = append(b, `,"acc_is_sys":true`...)
		}
	}
	// The blank in front of the line's end is nats-server's; no client asks for it.
	return append(append(b, apiLevel...), "} \r\n"...)
}

// apiLevel says which of nats-server's later JetStream features there are: none.
const apiLevel = `,"api_lvl":0`

// nonceSize is the length of a nonce: 11 bytes in base64.
const nonceSize = 15

// appendNonce appends what a client has to sign. It is worked out again from the connection's number
// when the signature comes, so that no idle connection keeps it; numbers are not used twice.
func (s *Server) appendNonce(b []byte, id uint64) []byte {
	var in [sha256.Size + 8]byte
	copy(in[:], s.nonceKey[:])
	binary.LittleEndian.PutUint64(in[sha256.Size:], id)
	sum := sha256.Sum256(in[:])
	const random = 11
	return base64.RawURLEncoding.AppendEncode(b, sum[:random])
}

// addressOf is INFO's host and port of a listener.
func addressOf(a net.Addr, advertise string) (host string, port int) {
	if t, ok := a.(*net.TCPAddr); ok {
		host, port = t.IP.String(), t.Port
		if t.IP == nil || t.IP.IsUnspecified() {
			host = "0.0.0.0" // what IPv6's form of it stands for as well
		}
	} else if a != nil {
		host = a.String()
	}
	if advertise != "" {
		host = advertise
	}
	return host, port
}

// idSize is the length of a server's id.
const idSize = 56

// newID makes a server's id that looks like a public server key: tools only look at the form.
func newID() string { return ("N" + rand.Text() + rand.Text() + rand.Text())[:idSize] }
