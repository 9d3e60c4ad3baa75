module cardinal.invalid/e2e-tools/crds

go 1.26.0

// For their published CustomResourceDefinitions alone; nothing of them is built.
require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
