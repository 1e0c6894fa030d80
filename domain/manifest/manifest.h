#pragma once

// The manifest of a system, read from TOML into plain values: its domains, what each is given,
// what each offers, and the policy between them. Every fault is told with line, column and a
// remedy; a system with a fault doesn't start.
//
//	[system]
//	name = "demo"                    # default: the file's name without ".toml"
//	policy = "policy.d"              # a folder in Qubes' language, or `rules` with its text
//	logs = "/var/log/bulkhead/demo"  # default: beside the control socket; of a unit in /var/log
//	permit_weaker = ["memory_limit"] # abilities that the kernel may lack
//
//	[domain.tpm]
//	component = "files"              # a component of Bulkhead's: program and system calls by name
//	services = ["bulkhead.File"]
//	config_file = "tpm.toml"         # its text is handed in; or `config` with the text itself
//	[domain.tpm.device.wire]
//	path = "/dev/spidev0.1"          # or `socket`, a unix socket to connect to
//
//	[domain.vault]
//	program = ["/usr/bin/thing", "-x"]  # optional where there are services
//	files = ["/usr", "/lib"]         # seen read-only; { source, target, writable } otherwise
//	scratch = "16 MiB"               # what it may write to /tmp and the like
//	needs = ["tpm"]
//	[domain.vault.service."vault.Sign"]
//	command = ["/bin/sh", "/srv/sign"]  # per call: stdin, stdout, exit code, as in Qubes
//	[domain.vault.mount."/tpm"]
//	domain = "tpm"
//	name = "dev"                     # bulkhead.File+dev

#include "domain/manifest/fault.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::domain {

enum class Start : uint8_t { AT_ONCE, ON_CALL }; // "at_once", "on_call"
enum class Restart : uint8_t { ALWAYS, ON_FAILURE, NEVER };

struct Device
{
	std::string name;
	std::string path; // of a device file, or
	std::string socket; // of a unix stream socket
	bool writable = true;
	bool operator==(Device const &) const = default;
};

struct Seen_file
{
	std::string source;
	std::string target;
	bool writable = false;
	bool operator==(Seen_file const &) const = default;
};

struct Service_command
{
	std::string service; // without argument
	std::vector<std::string> command;
	Position at{};
	bool operator==(Service_command const &other) const // all but `at`
	{
		return service == other.service && command == other.command;
	}
};

struct Mount
{
	std::string target; // directory in the domain
	std::string domain;
	std::string name; // the argument of bulkhead.File
	bool operator==(Mount const &) const = default;
};

/* What ordinary domains have, if nothing else is said. */
inline constexpr unsigned PROGRAMS_PROCESSES = 256;
inline constexpr unsigned PROGRAMS_CALLS = 64;

struct Domain_plan
{
	std::string name;
	Position at{};

	std::string component; // empty: "program", the host of ordinary programs
	std::vector<std::string> program{}; // of an ordinary domain: what runs besides services
	std::vector<std::string> environment{}; // "NAME=value" for programs
	std::vector<std::string> services{}; // of a component: what may be called; "*" for all
	std::vector<Service_command> commands{}; // of an ordinary domain: the same
	std::vector<Mount> mounts{};
	std::string config{}; // for the component, whole

	std::vector<Device> devices{};
	std::vector<Seen_file> files{};
	uint64_t scratch_bytes = 0;
	std::vector<std::string> extra_system_calls{};

	std::vector<std::string> tags{};
	std::vector<std::string> needs{};
	Start start = Start::AT_ONCE;
	Restart restart = Restart::ON_FAILURE;
	uint64_t memory_bytes = 0; // 0: no limit, as in the next
	unsigned cpu_percent = 0;
	unsigned processes_max = 64; // PROGRAMS_PROCESSES of ordinary domains
	unsigned calls_max = 256; // live at a time, made and served each; PROGRAMS_CALLS
	uint64_t log_bytes = 1 << 20; // kept; an older file of the same size beside it
	uint32_t ring_bytes = 256 * 1024; // of each direction of the calls that it serves

	/* Whether a running domain of the one plan is what the other describes. */
	bool same_as(Domain_plan const &other) const // all but `at`
	{
		Domain_plan moved = other;
		moved.at = at;
		return *this == moved;
	}
	bool operator==(Domain_plan const &) const = default;
};

struct System_plan
{
	std::string name;
	std::string manifest; // path
	std::string policy_directory{}; // absolute, or empty
	std::string rules{}; // inline text, or empty
	Position rules_at{}; // of its first line
	std::string logs{}; // absolute, or empty
	std::vector<std::string> permit_weaker{};
	std::vector<Domain_plan> domains{}; // in order of need: nobody before those that it needs
};

struct Reading
{
	System_plan plan{};
	std::vector<Fault> faults{}; // in the order of the file
	std::string text{};

	/* All faults as people read them, each with its line and a mark below it. */
	std::string describe_faults() const;
};

/*
 * Reads and checks a manifest's text; `path` is what relative paths start from and what texts name.
 * Files that it names (config_file) are read by `read_manifest` only, which reads the file itself,
 * too: a fault without position where that can't be read.
 */
Reading parse_manifest(std::string_view text, std::string const &path);
Reading read_manifest(std::string const &path);

} // namespace bulkhead::domain
