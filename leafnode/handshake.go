package leafnode

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// An action is what a step of the handshake asks of the link, in this order: send leaves as things
// are; then input, output or both switch to S2; then the rest leaves; and then the link is up, if it is.
type action struct {
	send          []byte
	input, output bool
	then          []byte
	up            bool
}

// A solicitConfig is what the soliciting side says of itself.
type solicitConfig struct {
	serverID, name, cluster, version string
	account                          string // the local one
	domain                           string
	hub, isolate, jetstream          bool
	denyImports                      []string
	compression                      Compression

	// sign makes the credentials of this connection. Nil: there are none.
	sign func(nonce string) (connectCredentials, error)
}

// A solicitor is the handshake of the soliciting side. It is told of every INFO until the link is up.
//
//	hub                      we
//	INFO nonce               INFO compression        only if both want S2, which begins behind these
//	INFO nonce (S2)          CONNECT                 S2 from here, if it is
//	INFO connect_info        interest                the link is up
type solicitor struct {
	config  solicitConfig
	stage   stage
	rtt     time.Duration // until the first INFO
	nonce   string
	waits   bool // the hub answers CONNECT with an INFO
	peer    info
	agreed  Mode
	offered string // the hub's word for compression
}

// A stage is what a solicitor waits for.
type stage uint8

const (
	forFirst   stage = iota // the hub's greeting
	forSecond               // the same once more, by S2
	forWelcome              // the answer to CONNECT
	forNothing              // the link is up
)

func newSolicitor(c solicitConfig) *solicitor { return &solicitor{config: c} }

// mode is what was agreed on, as soon as there was a first INFO.
func (h *solicitor) mode() Mode { return h.agreed }

// remote is the hub's last INFO: the one that let us in, once the link is up.
func (h *solicitor) remote() *info { return &h.peer }

// info takes an INFO. rtt is how long it took from the connection to the first INFO, and not looked at later.
func (h *solicitor) info(i *info, rtt time.Duration) (action, error) {
	switch h.stage {
	case forFirst:
		return h.first(i, rtt)
	case forSecond:
		// All of it is in the first one already; a hub that has another nonce means this one.
		h.peer = *i
		line, err := h.connect()
		return action{output: true, then: line, up: h.stage == forNothing}, err
	case forWelcome:
		if i.ConnectInfo { // another one only says that the hub's cluster has changed
			h.peer, h.stage = *i, forNothing
			return action{up: true}, nil
		}
	}
	return action{}, nil
}

func (h *solicitor) first(i *info, rtt time.Duration) (action, error) {
	if !i.fromLeafPort() {
		return action{}, errWrongPort
	}
	if err := checkCluster(i.Cluster); err != nil {
		return action{}, err
	}
	h.peer, h.rtt, h.waits = *i, rtt, i.InfoOnConnect
	mode, err := agreeOn(h.config.compression, i.Compression)
	if err != nil {
		return action{}, err
	}
	h.agreed, h.offered = mode, i.Compression
	if !mode.framed() {
		line, err := h.connect()
		return action{send: line, up: h.stage == forNothing}, err
	}
	h.stage = forSecond
	// Only compression matters in it. nats-server sends the number of the connection along.
	line := appendInfo(nil, &info{Compression: h.config.compression.Mode.String()})
	return action{send: line, input: true}, nil
}

// connect makes CONNECT, and goes on to the next stage.
func (h *solicitor) connect() ([]byte, error) {
	c := &h.config
	request := connect{
		Version: c.version, ServerID: c.serverID, Name: c.name, Cluster: c.cluster, Domain: c.domain, JetStream: c.jetstream,
		Hub: c.hub, Isolate: c.isolate, DenyPub: c.denyImports, Headers: h.peer.Headers,
		CompressMode:  newLevel(c.compression, h.agreed, h.rtt).mode.String(),
		RemoteAccount: c.account, Proto: leafProto,
	}
	if c.sign != nil {
		own, err := c.sign(h.peer.Nonce)
		if err != nil {
			return nil, err
		}
		request.User, request.Password, request.Token = own.user, own.password, own.token
		request.NKey, request.JWT, request.Signature = own.nkey, own.jwt, own.signature
	}
	h.stage = forNothing
	if h.waits {
		h.stage = forWelcome
	}
	h.peer.Nonce = ""
	return appendConnect(nil, &request), nil
}

// fromLeafPort reports whether an INFO is that of a listener for leaves. Only those have a number for
// the connection together with addresses for leaves or the promise of an answer to CONNECT.
func (i *info) fromLeafPort() bool {
	return i.ClientID != 0 && (i.LeafURLs != nil || i.InfoOnConnect)
}

// An acceptConfig is what the accepting side says of itself.
type acceptConfig struct {
	serverID, name, cluster, version string
	domain                           string
	host                             string
	port                             int
	id                               uint64 // of the connection, not 0
	nonce                            string
	urls                             []string // where leaves may come back to; never empty, or a 2.9 leaves at once
	maxPayload                       int
	jetstream                        bool
	tlsRequired, tlsVerify           bool
	minVersion                       string
	compression                      Compression
}

// An acceptor is the handshake of the accepting side. The order is hello, at most once info, connect
// and, when the leaf's user is known, welcome.
type acceptor struct {
	config acceptConfig
	agreed Mode
	asked  bool   // the leaf has sent its INFO
	word   string // for compression, in it
}

// newAcceptor is for one connection. Until a leaf asks for anything else there is no compression.
func newAcceptor(c acceptConfig) *acceptor { return &acceptor{config: c, agreed: ModeNotSupported} }

// mode is what was agreed on.
func (h *acceptor) mode() Mode { return h.agreed }

// hello is the first INFO.
func (h *acceptor) hello() []byte {
	return appendInfo(nil, h.about(h.config.compression.Mode))
}

// about is all that can be said before the leaf is known.
func (h *acceptor) about(mode Mode) *info {
	i := h.self()
	i.Nonce = h.config.nonce
	if mode != ModeNotSupported {
		i.Compression = mode.String()
	}
	return i
}

func (h *acceptor) self() *info {
	c := &h.config
	return &info{
		ServerID: c.serverID, ServerName: c.name, Version: c.version, Proto: leafProto, Go: runtime.Version(),
		Host: c.host, Port: c.port, Headers: true, AuthRequired: true, TLSRequired: c.tlsRequired, TLSVerify: c.tlsVerify,
		MaxPayload: c.maxPayload, JetStream: c.jetstream, ClientID: c.id, Cluster: c.cluster, Domain: c.domain,
		InfoOnConnect: true, LeafURLs: c.urls,
	}
}

// info takes the INFO with which a leaf asks for compression. If it gets it, the leaf's next byte is S2 as
// well as ours.
func (h *acceptor) info(i *info) (action, error) {
	if h.asked {
		return action{}, errSecondInfo
	}
	h.asked, h.word = true, i.Compression
	mode, err := agreeOn(h.config.compression, i.Compression)
	if err != nil {
		return action{}, err
	}
	h.agreed = mode
	if !mode.framed() {
		return action{}, nil // the leaf goes on with CONNECT by itself
	}
	return action{input: true, output: true, then: appendInfo(nil, h.about(mode))}, nil
}

// connect judges a CONNECT by what can be judged without knowing other links. As in nats-server a leaf shows
// first who it is: strangers learn nothing of what is wrong with it.
func (h *acceptor) connect(c *connect) error {
	if c.Lang != "" {
		return errClientHere
	}
	if err := checkCluster(c.Cluster); err != nil {
		return err
	}
	if c.Cluster != "" && c.Cluster == h.config.cluster {
		return errSameCluster
	}
	if c.Gateway != "" {
		return gatewayHere(c.Gateway)
	}
	if minimum := h.config.minVersion; minimum != "" && !atLeast(c.Version, minimum) {
		return tooOld(minimum, c.Version)
	}
	if !h.asked && c.CompressMode == ModeOff.String() {
		h.agreed = ModeOff
	}
	return nil
}

// offered is what a leaf has for compression. One that could not have got any keeps that to itself.
func (h *acceptor) offered(c *connect) (word string, known bool) {
	switch {
	case h.asked:
		return h.word, true
	case c.CompressMode == "" || c.CompressMode == ModeNotSupported.String():
		return "", h.config.compression.Mode != ModeNotSupported
	}
	return c.CompressMode, h.config.compression.Mode.framed()
}

// welcome is the INFO that lets a leaf in. imports is what it may receive, exports what it may send,
// nil: anything.
func (h *acceptor) welcome(account string, isSystem bool, imports, exports *limits) []byte {
	i := h.self()
	i.ConnectInfo, i.RemoteAccount, i.IsSystem = true, account, isSystem
	i.Import, i.Export = imports.list(), exports.list()
	return appendInfo(nil, i)
}

// update is an INFO for a leaf that is in, with the keys that nats-server's has. Nobody answers it.
func (h *acceptor) update() []byte {
	i := h.self()
	i.ClientID = 0
	return appendInfo(nil, i)
}

// agreeOn makes a closing of what agree refuses.
func agreeOn(own Compression, peer string) (Mode, error) {
	mode, err := agree(own.Mode, peer)
	if errors.Is(err, errUnsupportedMode) {
		return mode, &closing{wire: err.Error(), reason: "Protocol Violation",
			remedy: "the other side knows only kinds of compression that we do not know: write compression: off at one of the two"}
	}
	return mode, err
}

// checkCluster is what both sides ask of the other's cluster name.
func checkCluster(name string) error {
	switch {
	case strings.Contains(name, " "):
		return errClusterSpaces
	case name == "_": // nats-server's own, for leaves without a cluster
		return errClusterReserved
	}
	return nil
}

// atLeast compares versions such as 2.9.10 or v2.11.0-RC.1. What comes behind the third number does not count.
func atLeast(version, minimum string) bool {
	have, ok := parseVersion(version)
	want, known := parseVersion(minimum)
	for n := range have {
		if have[n] != want[n] {
			return ok && known && have[n] > want[n]
		}
	}
	return ok && known
}

func parseVersion(text string) (numbers [3]int, ok bool) {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "-")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if len(parts) != len(numbers) {
		return numbers, false
	}
	for n, part := range parts {
		number, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return numbers, false
		}
		numbers[n] = int(number)
	}
	return numbers, true
}
