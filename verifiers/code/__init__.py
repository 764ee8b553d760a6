"""What `verifiers.code_tests` is made of: code in a response, tests in a reference, comparison, and unit tests that run
in a sandbox of their own (`rpc`; the modules `inside_*` run there and nowhere else)."""
