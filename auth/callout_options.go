package auth

import "github.com/nats-io/nkeys"

// CalloutOptions is the block auth_callout: a service decides who may come in.
type CalloutOptions struct {
	// Issuer is the public key of the account that signs the service's answers.
	Issuer string `conf:"issuer"`

	// Account is where the service is asked. Default: $G.
	Account string `conf:"account,alias=acc"`

	// AuthUsers are the users, by name or public key, that are not asked about: the service's own.
	// One at least must be given, or the service could never connect.
	AuthUsers []string `conf:"auth_users,alias=users"`

	// XKey is the service's public curve key. Requests are sealed for it. Default: they are readable
	// for everybody in Account who may subscribe to them, passwords and all.
	XKey string `conf:"xkey,alias=key"`

	// AllowedAccounts are the accounts of configured users about which the service is asked.
	// Default: all. Users that are not configured are asked about in any case.
	AllowedAccounts []string `conf:"allowed_accounts"`
}

// check refuses a block that could not work, and fills in what is missing.
func (o *CalloutOptions) check() error {
	switch {
	case o.Issuer == "":
		return badf("auth_callout: issuer is missing: give the public key of the account that signs answers")
	case !nkeys.IsValidPublicAccountKey(o.Issuer):
		return badf("auth_callout: issuer %q is not the public key of an account (it would begin with A)", cut(o.Issuer))
	case len(o.AuthUsers) == 0:
		return badf("auth_callout: auth_users is missing: name the users that the service itself connects as")
	case o.XKey != "" && !nkeys.IsValidPublicCurveKey(o.XKey):
		return badf("auth_callout: xkey is not a public curve key (it would begin with X)")
	}
	if o.Account == "" {
		o.Account = GlobalAccount
	}
	return nil
}
