#include "component/files/exports.h"

#include "driver/tpm/command_names.h"

#include <algorithm>
#include <fmt/format.h>

namespace bulkhead::files {

using host_system::Section;
using host_system::suggestion;
using Type = vfs::Config_value::Type;
using vfs::Kind;

static constexpr vfs::Key EXPORT_KEYS[] = {
	{"path", Kind::TEXT, "the directory that is served"},
	{"read_only", Kind::BOOLEAN, "whether clients may change nothing"},
	{"nodes", Kind::LIST, "paths below it that are served, instead of all"},
};

static constexpr vfs::Key CLIENT_KEYS[] = {
	{"domain", Kind::TEXT, "its name, or \"*\"", true},
	{"read_only", Kind::BOOLEAN, "whether it may change nothing"},
	{"nodes", Kind::LIST, "paths that it sees, instead of all"},
	{"addresses", Kind::LIST, "numbers that it may choose on a bus"},
	{"tpm_commands", Kind::LIST, "names or codes of what it may give to a TPM"},
};

static constexpr std::string_view ANYBODY = "*";

/* What a caller can write behind "bulkhead.File+". */
static bool qrexec_argument(std::string_view name)
{
	bool const known = std::ranges::all_of(name, [](char c) {
		return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			std::string_view("_-.+").contains(c);
	});
	return known && !name.empty() && name.size() <= 63;
}

void Exports::_read_seen(Section const &section, remote::Rules &seen)
{
	auto const read_only = section.boolean("read_only", false);
	if (read_only.ok())
		seen.read_only = read_only.value();
	else
		_manifest.faults.push_back(section.located(read_only.error()));
	auto const count = section.list_size("nodes");
	if (!count.ok()) return _manifest.faults.push_back(section.located(count.error()));
	if (section.find("nodes") && count.value() == 0)
		_manifest.faults.push_back(section.fault(
			"nodes", "'nodes' is an empty list", "name some, or leave it out to serve all"));
	for (size_t i = 0; i < count.value(); ++i) {
		auto const node = section.list_item("nodes", i);
		if (!node.ok()) return _manifest.faults.push_back(section.located(node.error()));
		seen.nodes.emplace_back(node.value());
	}
}

void Exports::_read_addresses(Section const &section, Client_rule &rule)
{
	if (!section.find("addresses")) return;
	auto const count = section.list_size("addresses");
	if (!count.ok()) return _manifest.faults.push_back(section.located(count.error()));
	for (size_t i = 0; i < count.value(); ++i) {
		vfs::Config_value const item = section.item("addresses", i);
		if (item.type != Type::NUMBER || item.number < 0)
			return _manifest.faults.push_back(
				section.fault("addresses", "'addresses' holds something that is no address",
					"write numbers: addresses = [0x50, 0x51]"));
		rule.address_list.push_back(static_cast<uint64_t>(item.number));
	}
	rule.addresses = {.any = false, .addresses = rule.address_list};
}

void Exports::_read_commands(Section const &section, Client_rule &rule)
{
	if (!section.find("tpm_commands")) return rule.commands.allow_standard();
	auto const count = section.list_size("tpm_commands");
	if (!count.ok()) return _manifest.faults.push_back(section.located(count.error()));
	auto const fault = [&](std::string problem, std::string remedy) {
		_manifest.faults.push_back(
			section.fault("tpm_commands", std::move(problem), std::move(remedy)));
	};
	std::vector<vfs::Key> names;
	for (size_t i = 0; !tpm::command_name(i).empty(); ++i)
		names.push_back({tpm::command_name(i), Kind::TEXT, ""});
	for (size_t i = 0; i < count.value(); ++i) {
		vfs::Config_value const item = section.item("tpm_commands", i);
		if (item.type == Type::TEXT && item.text == ANYBODY) {
			rule.commands.allow_standard();
			continue;
		}
		uint32_t code = 0;
		if (item.type == Type::NUMBER && item.number <= UINT32_MAX)
			code = static_cast<uint32_t>(std::max<int64_t>(item.number, 0));
		else if (item.type == Type::TEXT)
			code = tpm::command_of_name(item.text);
		if (item.type == Type::TEXT && !code) {
			std::string remedy = suggestion(item.text, names);
			// More than a hundred names are no help.
			if (!remedy.starts_with("did"))
				remedy = "names are those of the specification, such as \"GetRandom\"";
			fault(fmt::format("a TPM has no command '{}'", host_system::printable(item.text)),
				std::move(remedy));
			continue;
		}
		Attempt<void> const allowed = rule.commands.allow(code);
		if (allowed.ok()) continue;
		if (allowed.error() == Error::NO_SPACE)
			fault("'tpm_commands' has too many commands of a vendor", "16 can be named");
		else
			fault("'tpm_commands' holds something that is no command",
				"write names, such as \"GetRandom\", or codes, such as 0x17b");
	}
}

void Exports::_read_client(Section const &section, Export &to)
{
	section.check_keys(CLIENT_KEYS, {}, _manifest.faults);
	Client_rule &rule = to.clients.emplace_back();
	auto const domain = section.text("domain");
	if (!domain.ok()) return _manifest.faults.push_back(section.located(domain.error()));
	rule.client = domain.value();
	for (size_t i = 0; i + 1 < to.clients.size(); ++i)
		if (to.clients[i].client == ANYBODY || to.clients[i].client == rule.client)
			return _manifest.faults.push_back(section.fault("domain",
				fmt::format("an earlier {} decides for '{}' already", section.heading,
					host_system::printable(rule.client)),
				"the first that fits decides: put this one before, or remove it"));
	_read_seen(section, rule.seen);
	_read_addresses(section, rule);
	_read_commands(section, rule);
}

void Exports::_read(Section const &section)
{
	section.check_keys(EXPORT_KEYS, {}, _manifest.faults);
	if (!qrexec_argument(section.name))
		_manifest.faults.push_back(section.fault("",
			fmt::format("'{}' can't be asked for", host_system::printable(section.name)),
			"a name has 1 to 63 letters, digits, '_', '-', '.' and '+'"));
	Export &made = _exports[section.name];
	made.name = section.name;
	made.section = &section;
	auto const path = section.text("path", "/");
	if (!path.ok()) return _manifest.faults.push_back(section.located(path.error()));
	made.path = path.value();
	host_system::Path_problem problem = host_system::tidy_path(made.path);
	if (!problem.problem.empty())
		_manifest.faults.push_back(
			section.fault("path", std::move(problem.problem), std::move(problem.remedy)));
	_read_seen(section, made.seen);
	for (Section const &client : section.parts) {
		if (client.name == "client")
			_read_client(client, made);
		else
			_manifest.faults.push_back({client.at, "unknown section " + client.heading,
				fmt::format("there is [[export.{}.client]]", section.name)});
	}
	if (!section.parts.empty()) return;
	Client_rule &all = made.clients.emplace_back();
	all.client = ANYBODY;
	all.commands.allow_standard();
}

void Exports::read()
{
	for (Section const &section : _manifest.exports) _read(section);
	if (_manifest.exports.empty())
		_manifest.faults.push_back({{}, "nothing is served",
			"add [export.NAME] with path = \"/…\", which others have as bulkhead.File+NAME"});
}

Export const *Exports::find(std::string_view name) const
{
	auto const found = _exports.find(name);
	return found == _exports.end() ? nullptr : &found->second;
}

Client_rule const *Exports::rule_for(Export const &of, std::string_view domain)
{
	for (Client_rule const &rule : of.clients)
		if (rule.client == ANYBODY || rule.client == domain) return &rule;
	return nullptr;
}

std::string Exports::label_of(std::string_view domain, std::string_view export_name)
{
	// No domain has a slash in its name.
	return fmt::format("{}/{}", domain, export_name);
}

Client_rule const *Exports::_rule(Credentials const &who) const
{
	size_t const slash = who.label.find('/');
	if (slash == who.label.npos) return nullptr;
	Export const *const of = find(who.label.substr(slash + 1));
	return of ? rule_for(*of, who.label.substr(0, slash)) : nullptr;
}

Address_rule const *Exports::addresses_of(Credentials const &who) const
{
	Client_rule const *const rule = _rule(who);
	return rule ? &rule->addresses : nullptr;
}

tpm::Command_rule const *Exports::rule_of(Credentials const &who) const
{
	Client_rule const *const rule = _rule(who);
	return rule ? &rule->commands : nullptr;
}

void Exports::refused(tpm::Command_rule const *refusing, uint32_t code)
{
	if (_noted.size() == NOTED_MAX || !_noted.emplace(refusing, code).second) return;
	for (auto const &[name, of] : _exports)
		for (Client_rule const &rule : of.clients) {
			if (&rule.commands != refusing) continue;
			std::string_view const command = tpm::name_of_command(code);
			_log.warning("refused: ", std::string_view(rule.client),
				" may not give the TPM command ",
				command.empty() ? std::string_view("of code") : command, " (", Hex(code, 3),
				") through ", std::string_view(name));
		}
}

} // namespace bulkhead::files
