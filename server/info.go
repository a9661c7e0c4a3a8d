package server

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"runtime"
	"strconv"
)

// makeInfo prepares the parts of INFO that are the same for all connections of a listener.
func (set *settings) makeInfo(id string) {
	b := append([]byte(nil), `INFO {"server_id":`...)
	b = appendJSON(b, id)
	b = appendJSON(append(b, `,"server_name":`...), set.ServerName)
	b = appendJSON(append(b, `,"version":`...), featureLevel)
	if set.Version != "" {
		b = appendJSON(append(b, `,"edgebus_version":`...), set.Version)
	}
	b = appendJSON(append(b, `,"proto":1,"go":`...), runtime.Version())
	set.infoHead = b

	b = strconv.AppendBool([]byte(`"headers":`), !set.NoHeaderSupport)
	if set.guest == nil {
		b = append(b, `,"auth_required":true`...)
	}
	b = append(b, `,"max_payload":`...)
	set.infoBody = strconv.AppendInt(b, int64(set.MaxPayload), 10)
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
)

// infoRoom is the most that an INFO takes besides its prepared parts and the account's name, which
// is JSON by then.
const infoRoom = 256

// appendInfo appends a whole INFO line for one connection.
func (d *door) appendInfo(b []byte, set *settings, kind infoKind, id uint64, from netip.Addr, account []byte) []byte {
	b = append(b, set.infoHead...)
	b = append(b, d.address...)
	b = append(b, set.infoBody...)
	b = strconv.AppendUint(append(b, `,"client_id":`...), id, 10)
	b = append(b, `,"client_ip":"`...)
	if from.IsValid() {
		b = from.AppendTo(b)
	}
	b = append(b, '"')
	if kind == infoConnect {
		b = append(b, `,"connect_info":true,"remote_account":`...)
		b = append(b, account...)
	}
	if d.server.lame.Load() {
		b = append(b, `,"ldm":true`...)
	}
	// The blank in front of the line's end is nats-server's; no client asks for it.
	return append(b, "} \r\n"...)
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

// newID makes a server's id: random, in the text form of a public server key. Nobody has the key
// that would belong to it; tools only look at the form.
func newID() string {
	const serverPrefix = 13 << 3 // base32 of it begins with N
	var raw [1 + 32 + 2]byte
	raw[0] = serverPrefix
	rand.Read(raw[1:33])
	binary.LittleEndian.PutUint16(raw[33:], crc16(raw[:33]))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:])
}

// crc16 is the XMODEM one.
func crc16(b []byte) (sum uint16) {
	for _, c := range b {
		sum ^= uint16(c) << 8
		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}
