# Sub-commands of cargo that the scripts need; source it with `root` set to the repository.
# A suitable one that is installed is used. Otherwise the pinned version is built into target/tools, unoptimised, as it
# runs for minutes at most; that takes some minutes once.

NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2
export PATH=$root/target/tools/bin:$PATH

# The configuration of nextest says which versions are suitable.
provide_nextest() {
  cargo nextest show-config version >/dev/null 2>&1 || install_tool cargo-nextest "$NEXTEST_VERSION"
}

provide_deny() {
  cargo deny --version >/dev/null 2>&1 || install_tool cargo-deny "$DENY_VERSION"
}

# install_tool PACKAGE VERSION
install_tool() {
  echo "installing $1 $2 into target/tools (first use only, some minutes)" >&2
  if ! CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --force --root "$root/target/tools" --version "$2" "$1" >&2; then
    echo "cannot install $1 $2: see the messages of cargo above; make the crate registry reachable, or install it yourself" >&2
    return 69
  fi
}
