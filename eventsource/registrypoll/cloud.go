package registrypoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	ecr "github.com/awslabs/amazon-ecr-credential-helper/ecr-login"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/google"

	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// clouds that credentials can be had from.
func clouds() []string { return []string{"acr", "ecr", "gar"} }

// cloud makes the keychain of a cloud, for its registries alone. The identity is
// the one that the cloud's own libraries find: a role of the pod or the machine,
// or environment variables.
func cloud(ctx context.Context, name string) (authn.Keychain, error) {
	switch name {
	case "acr":
		identity, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, err
		}
		return limitedTo{azure{identity, http.DefaultClient}, []string{"*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"}}, nil
	case "ecr":
		keys := authn.NewKeychainFromHelper(ecr.NewECRHelper(ecr.WithLogger(io.Discard)))
		return limitedTo{keys, []string{"*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "*.dkr.ecr-fips.*.amazonaws.com", "public.ecr.aws"}}, nil
	case "gar":
		a, err := google.NewEnvAuthenticator(ctx)
		if err != nil {
			return nil, err
		}
		return limitedTo{one{a}, []string{"gcr.io", "*.gcr.io", "*.pkg.dev"}}, nil
	}
	return nil, fmt.Errorf("there is no cloud %q", name)
}

// limitedTo hands credentials to registries whose host matches, and to no other.
type limitedTo struct {
	keys     authn.Keychain
	patterns []string
}

// Resolve implements authn.Keychain.
func (l limitedTo) Resolve(r authn.Resource) (authn.Authenticator, error) {
	for _, pattern := range l.patterns {
		if ok, _ := path.Match(pattern, imageevent.Host(r.RegistryStr())); ok {
			return l.keys.Resolve(r)
		}
	}
	return authn.Anonymous, nil
}

// one has the same credentials for all.
type one struct{ authn.Authenticator }

// Resolve implements authn.Keychain.
func (o one) Resolve(authn.Resource) (authn.Authenticator, error) { return o.Authenticator, nil }

// azure exchanges a token of Azure's identity service for one of the registry.
// Source: https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
type azure struct {
	identity azcore.TokenCredential
	client   *http.Client
}

// Resolve implements authn.Keychain.
func (a azure) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return azureRegistry{a, "https://" + r.RegistryStr(), r.RegistryStr()}, nil
}

type azureRegistry struct {
	azure
	base, host string
}

var _ authn.ContextAuthenticator = azureRegistry{}

// Authorization implements authn.Authenticator.
func (a azureRegistry) Authorization() (*authn.AuthConfig, error) {
	return a.AuthorizationContext(context.Background())
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (a azureRegistry) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	token, err := a.identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://containerregistry.azure.net/.default"}})
	if err != nil {
		return nil, fmt.Errorf("ask Azure for a token: %w", err)
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {a.host}, "access_token": {token.Token}}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	switch err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&answer); {
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s does not take the token of this identity: %s", a.host, res.Status)
	case err != nil:
		return nil, fmt.Errorf("%s answered no token: %w", a.host, err)
	case answer.RefreshToken == "":
		return nil, errors.New(a.host + " answered an empty token")
	}
	return &authn.AuthConfig{IdentityToken: answer.RefreshToken}, nil
}
