package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

const (
	// calloutAudience marks a request.
	calloutAudience = "nats-authorization-request"
	// calloutKeyHeader holds our public curve key in a request that is sealed.
	calloutKeyHeader = "Nats-Server-Xkey"
	// maxCalloutReply bounds an answer.
	maxCalloutReply = 1 << 20
)

// A question is one request to a callout's service.
type question struct {
	// Set when made.
	asker   *asker
	creds   *Credentials
	account string          // where it is asked
	subject string          // of the request's JWT: the issuer of answers
	xkey    string          // the service's curve key; empty: in the clear
	token   string          // the user JWT that the client has shown
	shown   *jwt.UserClaims // the same, if it was checked

	// ask sets these.
	user   string // the public key that the answer must be about, so that no answer serves twice
	server string // our id, for which it must be
}

// ask sends the request and checks that the answer is one to it. sealed: nobody but the service can
// have made it. Else whoever calls must check who has signed it.
func (q *question) ask() (answer *jwt.AuthorizationResponseClaims, sealed bool, err error) {
	call := q.asker.caller.Load()
	if call == nil {
		return nil, false, refuse("%w", ErrNoAnswer)
	}
	key, payload, header, err := q.request()
	if err != nil {
		return nil, false, refuse("the request to the auth callout's service: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), q.asker.timeout)
	defer cancel()
	reply, _, err := (*call)(ctx, q.account, calloutSubject, header, payload)
	switch {
	case ctx.Err() != nil:
		return nil, false, refuse("the auth callout's service does not answer: %w", ctx.Err())
	case err != nil:
		return nil, false, refuse("%w: the auth callout's service does not answer: %w", ErrNoAnswer, err)
	}
	if len(reply) == 0 || len(reply) > maxCalloutReply {
		return nil, false, refuse("auth callout violation: no reason supplied")
	}
	if q.xkey != "" && !bytes.HasPrefix(reply, []byte("eyJ")) {
		if reply, err = key.curve.Open(reply, q.xkey); err != nil {
			return nil, false, refuse("the auth callout's answer cannot be unsealed: %w", err)
		}
		sealed = true
	}
	answer, err = jwt.DecodeAuthorizationResponseClaims(string(reply))
	if err != nil {
		return nil, false, refuse("the auth callout's answer: %w", err)
	}
	results := jwt.CreateValidationResults()
	answer.Validate(results)
	switch {
	case len(results.Issues) > 0:
		return nil, false, refuse("the auth callout's answer: %s", results.Issues[0].Description)
	case answer.Subject != q.user:
		return nil, false, refuse("auth callout violation: auth callout response is not for expected user")
	case answer.Audience != q.server:
		return nil, false, refuse("auth callout violation: auth callout response is not for server")
	}
	return answer, sealed, nil
}

// request makes the request's JWT, sealed if it has to be.
func (q *question) request() (key *ServerKey, payload []byte, header map[string]string, err error) {
	var server Server
	if s := q.asker.server.Load(); s != nil {
		server = *s
	}
	if key = server.Key; key == nil {
		if key, err = q.asker.own(); err != nil {
			return nil, nil, nil, err
		}
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, nil, nil, err
	}
	if q.user, err = pair.PublicKey(); err != nil {
		return nil, nil, nil, err
	}
	q.server = key.id
	claims := jwt.NewAuthorizationRequestClaims(q.subject)
	claims.Audience, claims.UserNkey = calloutAudience, q.user
	claims.Server = jwt.ServerID{
		Name: server.Name, Host: server.Host, ID: key.id, Version: server.Version, Cluster: server.Cluster, Tags: server.Tags,
	}
	if q.xkey != "" {
		claims.Server.XKey = key.xkey
	}
	claims.Expires = time.Now().Add(q.asker.timeout).Unix()
	q.describe(claims)
	token, err := claims.Encode(key.pair)
	if err != nil || q.xkey == "" {
		return key, []byte(token), nil, err
	}
	payload, err = key.curve.Seal([]byte(token), q.xkey)
	return key, payload, map[string]string{calloutKeyHeader: key.xkey}, err
}

// describe says who wants to come in.
func (q *question) describe(claims *jwt.AuthorizationRequestClaims) {
	c := q.creds
	claims.ClientInformation = jwt.ClientInformation{ID: c.ID, Name: c.Name, Kind: "Client", Type: "nats", User: c.who()}
	if c.Remote.IsValid() {
		claims.ClientInformation.Host = c.Remote.Unmap().String()
	}
	switch c.Type {
	case WebSocket:
		claims.ClientInformation.Type = "websocket"
	case MQTT, MQTTWS:
		claims.ClientInformation.Type = "mqtt"
	case LeafNode, LeafNodeWS:
		claims.ClientInformation.Kind, claims.ClientInformation.Type = "Leafnode", ""
	}
	if q.shown != nil {
		if c.NKey == "" && c.User == "" {
			claims.ClientInformation.User = q.shown.Subject
		}
		claims.ClientInformation.NameTag = q.shown.Name
		claims.ClientInformation.Tags = q.shown.Tags
	}
	if c.Signature != "" {
		claims.ClientInformation.Nonce = c.Nonce
	}
	claims.ConnectOptions = jwt.ConnectOptions{
		JWT: q.token, Nkey: c.NKey, SignedNonce: c.Signature, Token: c.Token, Username: c.User, Password: c.Password,
		Name: c.Name, Lang: c.Lang, Version: c.Version, Protocol: c.Protocol,
	}
	claims.TLS = certificates(c.TLS)
}

// certificates shows the service what the client has shown us: chains that were verified, or else
// certificates that were not.
func certificates(state *tls.ConnectionState) *jwt.ClientTLS {
	if state == nil {
		return nil
	}
	text := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	shown := &jwt.ClientTLS{
		Version: strings.TrimPrefix(tls.VersionName(state.Version), "TLS "),
		Cipher:  tls.CipherSuiteName(state.CipherSuite),
	}
	for _, chain := range state.VerifiedChains {
		var list jwt.StringList
		for _, certificate := range chain {
			list = append(list, text(certificate.Raw))
		}
		shown.VerifiedChains = append(shown.VerifiedChains, list)
	}
	if len(shown.VerifiedChains) == 0 {
		for _, certificate := range state.PeerCertificates {
			shown.Certs = append(shown.Certs, text(certificate.Raw))
		}
	}
	return shown
}

// userOf takes the user JWT out of an answer whose signer has been checked.
func (q *question) userOf(answer *jwt.AuthorizationResponseClaims) (*jwt.UserClaims, error) {
	if answer.Error != "" {
		return nil, refuse("auth callout service returned an error: %s", cut(answer.Error))
	}
	user, err := jwt.DecodeUserClaims(answer.Jwt)
	if err != nil {
		return nil, refuse("the auth callout's user JWT: %w", err)
	}
	if user.ProxyRequired {
		return nil, ErrProxyRequired
	}
	results := jwt.CreateValidationResults()
	user.Validate(results)
	if len(results.Issues) > 0 {
		return nil, refuse("the auth callout's user JWT: %s", results.Issues[0].Description)
	}
	if user.Subject != q.user {
		return nil, refuse("the auth callout's user JWT is for another user")
	}
	return user, nil
}

// identity is whom the service has let in. nats-server does not apply the limits of such a JWT, nor
// its source networks.
func (q *question) identity(user *jwt.UserClaims, account string, defaults *Permissions) (*Identity, error) {
	l := arrival{p: q.asker.operator, c: q.creds, user: user}
	if err := l.checkTimesAt(time.Now()); err != nil {
		return nil, err
	}
	if err := l.checkType(q.creds.Type); err != nil {
		return nil, err
	}
	options := permissionsOf(&user.Permissions)
	permissions, err := NewPermissions(options)
	if err != nil {
		return nil, refuse("the permissions of the auth callout's user JWT: %w", err)
	}
	if options == nil {
		permissions = defaults
	}
	id := &Identity{
		User: user.Name, Account: account, Perms: permissions, Issuer: user.Issuer, Types: l.types,
		Expires: sooner(timeOf(user.Expires), l.until),
		claims:  &userClaims{subject: user.Subject, issued: user.IssuedAt, callout: true, defaults: options == nil},
	}
	if q.shown != nil { // nats-server goes on showing these
		id.Name, id.Tags = q.shown.Name, q.shown.Tags
	}
	if id.User == "" {
		id.User = q.creds.who()
	}
	return id, nil
}
