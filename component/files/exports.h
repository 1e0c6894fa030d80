#pragma once

// What other domains may have of this component's files, as its manifest says: the tables
// [export.NAME], with a rule for each client.
//
//	[export.dev]                 # bulkhead.File+dev
//	path = "/dev"                # the directory that is served
//	read_only = false
//	nodes = ["/tpm0"]            # only these, if given
//	[[export.dev.client]]        # the first that fits the caller decides; without any, all may
//	domain = "web"               # or "*"
//	read_only = true
//	nodes = ["/tpm0"]
//	addresses = [0x50]           # that it may choose on a bus
//	tpm_commands = ["GetRandom"] # names or codes; "*" for all of the standard

#include "base/log.h"
#include "driver/address_guard.h"
#include "driver/tpm/command_filter.h"
#include "sdk/host_system/manifest.h"
#include "vfs/remote/rules.h"

#include <deque>
#include <map>
#include <set>
#include <string>

namespace bulkhead::files {

struct Client_rule
{
	std::string
		client; // whose rule it is, for people: "web"; "*" of those who have none of their own
	remote::Rules seen{};
	std::vector<uint64_t> address_list{};
	Address_rule addresses{};
	tpm::Command_rule commands{};
	Ref<vfs::Node> root{}; // what this client sees
};

struct Export
{
	std::string name;
	std::string path = "/"; // without superfluous slashes
	remote::Rules seen{}; // of all clients
	std::deque<Client_rule> clients{};
	host_system::Section const *section = nullptr;
};

/*
 * All exports, and what their clients may do with devices. A device knows an opener by its label,
 * which is `label_of` client and export.
 */
class Exports final : public Address_policy, public tpm::Command_policy
{
private:
	static constexpr size_t NOTED_MAX = 256;

	host_system::Manifest &_manifest;
	Log const _log;
	std::map<std::string, Export, std::less<>> _exports{};
	// Refusals that are on the log already: a client can't fill it.
	std::set<std::pair<tpm::Command_rule const *, uint32_t>> _noted{};

	void _read(host_system::Section const &);
	void _read_seen(host_system::Section const &, remote::Rules &);
	void _read_client(host_system::Section const &, Export &);
	void _read_addresses(host_system::Section const &, Client_rule &);
	void _read_commands(host_system::Section const &, Client_rule &);
	Client_rule const *_rule(Credentials const &) const;

public:
	/* The manifest outlives this. */
	Exports(host_system::Manifest &manifest, Log log) : _manifest(manifest), _log(log) {}

	/* Reads the tables. Faults go to the manifest. */
	void read();

	bool empty() const { return _exports.empty(); }
	std::map<std::string, Export, std::less<>> &all() { return _exports; }

	/* Null: there is no such export, or this domain may not have it. */
	Export const *find(std::string_view name) const;
	static Client_rule const *rule_for(Export const &, std::string_view domain);

	static std::string label_of(std::string_view domain, std::string_view export_name);

	Address_rule const *addresses_of(Credentials const &who) const override;
	tpm::Command_rule const *rule_of(Credentials const &who) const override;
	void refused(tpm::Command_rule const *rule, uint32_t code) override;
};

} // namespace bulkhead::files
