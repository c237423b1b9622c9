# Prints each documented target of the Makefile in a line; called by `make help`.
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z0-9-]+:.*## / {
    name = $1; sub(/:.*/, "", name)
    text = $0; sub(/.*## /, "", text)
    printf "  make %-22s %s\n", name, text
}
END { print "" }
