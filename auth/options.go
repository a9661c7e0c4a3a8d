package auth

import (
	"fmt"
	"strings"
	"time"
)

// Options is the "authorization" block of a configuration. The zero value lets everybody in.
type Options struct {
	// User and Password name one single user, who may do everything. Password may be a bcrypt hash.
	User     string `conf:"user,alias=username"`
	Password string `conf:"password,alias=pass"`

	// Token lets in whoever knows it. It may be a bcrypt hash. It excludes users.
	Token string `conf:"token"`

	// Timeout is how long a client has to bring valid credentials. Default 2 s. Much more lets
	// strangers hold connections for nothing.
	Timeout time.Duration `conf:"timeout"`

	// Users are any number of users with a password or a public key, and permissions.
	Users []User `conf:"users"`

	// DefaultPermissions are for those of Users without their own; neither for the single user, nor
	// for the token. Default: everything is allowed.
	DefaultPermissions *PermissionOptions `conf:"default_permissions,alias=default_permission,alias=permissions"`

	// ProxyRequired refuses the single user, or the token, unless a trusted proxy brings it. There
	// are no trusted proxies here.
	ProxyRequired bool `conf:"proxy_required"`

	// Callout asks a service who may come in. Default: none.
	Callout *CalloutOptions `conf:"auth_callout,alias=auth_hook"`

	// Given says that the block is there, although everything in it may be empty. It decides whether
	// strangers stay out if only the system account has users.
	Given bool `conf:"-"`

	// VerifyAndMap makes the certificate of a client say which of the users it is; it is what the
	// tls block says under that key.
	VerifyAndMap bool `conf:"-"`

	// LeafVerifyAndMap is the same of leaves: that of the leafnodes' tls block.
	LeafVerifyAndMap bool `conf:"-"`

	// TopOptions are keys of the configuration's top level, so whoever reads that fills them in.
	TopOptions `conf:"-"`
}

// given reports whether there is an authorization block.
func (o *Options) given() bool {
	return o.Given || o.User != "" || o.Token != "" || o.Timeout != 0 || o.Users != nil || o.DefaultPermissions != nil ||
		o.Callout != nil || o.ProxyRequired
}

// TopOptions are the keys about authorization that stand at the top of a configuration.
type TopOptions struct {
	// NoAuthUser names the user that a client without credentials becomes. Default: none, such a
	// client is refused. Whatever this user may do, everybody may.
	NoAuthUser string `conf:"no_auth_user"`

	// Accounts are subject spaces of their own, with their users and with what they take from one
	// another. Default: one account for everybody, $G.
	Accounts AccountsOptions `conf:"accounts"`

	// SystemAccount is the account for the server's own events and requests. Default: $SYS, which
	// then has nobody in it but who is configured there.
	SystemAccount string `conf:"system_account,alias=system"`

	// NoSystemAccount leaves the system account out.
	NoSystemAccount bool `conf:"no_system_account,alias=no_system,alias=no_sys_acc"`

	// Mappings give subjects that are published in the global account other names.
	Mappings MappingsOptions `conf:"mappings,alias=maps"`

	// Operator is where accounts come from when they are not configured here.
	Operator OperatorOptions `conf:",inline"`
}

// A User is one entry of the users list.
type User struct {
	User     string `conf:"user,alias=username"`
	Password string `conf:"password,alias=pass"`

	// NKey is the public key of a user that signs a nonce instead of showing a password.
	NKey string `conf:"nkey"`

	Permissions *PermissionOptions `conf:"permissions,alias=permission,alias=authorization"`

	// Types are the connection types that the user may use, such as Standard. Default: all.
	Types []string `conf:"allowed_connection_types,alias=connection_types,alias=clients"`

	// ProxyRequired refuses the user unless a trusted proxy brings it. There are none here.
	ProxyRequired bool `conf:"proxy_required"`

	// Account is the name of the account the user belongs to; empty is the one that it stands in,
	// outside of accounts the global one.
	Account string `conf:"-"`
}

// PermissionOptions is a permissions block. What is nil is not restricted.
type PermissionOptions struct {
	Publish        *SubjectOptions  `conf:"publish,alias=pub,alias=import"`
	Subscribe      *SubjectOptions  `conf:"subscribe,alias=sub,alias=export"`
	AllowResponses *ResponseOptions `conf:"allow_responses,alias=publish_allow_responses"`
}

// SubjectOptions is what may be published or subscribed to: one subject, a list of them, or
// lists of what is allowed and denied. Allow nil: everything that is not denied; Allow empty: nothing.
//
// An empty list in a configuration is nil here, since for nats-server it is as if it were not there.
type SubjectOptions struct {
	Allow []string
	Deny  []string
}

// ResponseOptions is true, or a limit of answers and their time. What is zero is defaulted.
type ResponseOptions struct {
	Off     bool          // allow_responses: false
	Max     int           // default 1; negative: any number
	Expires time.Duration // default 2 minutes; negative: never
}

// Defaults.
const (
	defaultTimeout          = 2 * time.Second
	defaultResponses        = 1
	defaultResponsesExpires = 2 * time.Minute
)

func (o *ResponseOptions) settled() Responses {
	if o.Off {
		return Responses{}
	}
	r := Responses{Max: o.Max, Expires: o.Expires}
	if r.Max == 0 {
		r.Max = defaultResponses
	}
	if r.Expires == 0 {
		r.Expires = defaultResponsesExpires
	}
	return r
}

// UnmarshalConf takes "s", ["s1", "s2"] or {allow: …, deny: …}.
func (o *SubjectOptions) UnmarshalConf(v any) error {
	block, isBlock := v.(map[string]any)
	if !isBlock {
		list, err := stringList("subjects", v)
		o.Allow = list
		return err
	}
	for key, value := range block {
		list, err := stringList(strings.ToLower(key), value)
		if err != nil {
			return err
		}
		switch strings.ToLower(key) {
		case "allow":
			o.Allow = list
		case "deny":
			o.Deny = list
		default:
			return badf("unknown key %q, use allow or deny", cut(key))
		}
	}
	return nil
}

func stringList(what string, v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case []any:
		var list []string
		for _, entry := range v {
			s, ok := entry.(string)
			if !ok {
				return nil, badf("%s: %v is not a subject: put it in quotes", what, cut(fmt.Sprint(entry)))
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, badf("%s: a subject or a list of subjects was expected", what)
}

// UnmarshalConf takes true, false or {max: N, expires: "1m"}.
func (o *ResponseOptions) UnmarshalConf(v any) error {
	switch v := v.(type) {
	case bool:
		o.Off = !v
		return nil
	case map[string]any:
		return o.unmarshalBlock(v)
	}
	return badf("write true, false or { max: 1, expires: \"2m\" }")
}

func (o *ResponseOptions) unmarshalBlock(block map[string]any) error {
	for key, value := range block {
		switch strings.ToLower(key) {
		case "max", "max_msgs", "max_messages", "max_responses":
			n, ok := value.(int64)
			if !ok {
				return badf("%s: a number was expected", cut(key))
			}
			o.Max = int(n)
		case "expires", "expiration", "ttl":
			text, ok := value.(string)
			if !ok {
				return badf("%s: write a number and a unit in quotes, such as \"2m\"", cut(key))
			}
			wait, err := time.ParseDuration(text)
			if err != nil {
				return badf("%s: %q is no duration: write a number and a unit, such as \"2m\"", cut(key), cut(text))
			}
			o.Expires = wait
		default:
			return badf("unknown key %q, use max and expires", cut(key))
		}
	}
	return nil
}

// duration takes "1m30s" or a number of seconds.
func duration(v any) (time.Duration, error) {
	switch v := v.(type) {
	case string:
		return time.ParseDuration(v)
	case int64:
		return time.Duration(v) * time.Second, nil
	case float64:
		return time.Duration(v * float64(time.Second)), nil
	}
	return 0, badf("a duration was expected")
}
