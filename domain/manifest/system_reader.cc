#include "domain/manifest/system_reader.h"

#include "domain/gate/message.h"
#include "domain/manifest/names.h"
#include "domain/manifest/program_config.h"

#include <algorithm>
#include <filesystem>

namespace bulkhead::domain {

namespace {

using Type = Toml::Type;
using Texts = std::vector<Toml const *>;

constexpr size_t DOMAINS_MAX = 1024;
constexpr size_t ARGUMENTS_MAX = 256;
constexpr size_t SERVICES_MAX = 256;
constexpr size_t SERVICE_NAME_BYTES_MAX = 255;
constexpr size_t DEVICES_MAX = 64;
constexpr size_t FILES_MAX = 256;
constexpr size_t MOUNTS_MAX = 16;
constexpr size_t TAGS_MAX = 64;
constexpr size_t SYSTEM_CALLS_MAX = 512;
constexpr size_t TARGET_BYTES_MAX = 1024;
constexpr uint64_t MIB = 1U << 20;
constexpr uint64_t BYTES_MOST = uint64_t{1} << 50;

constexpr std::string_view NAME_REMEDY =
	"a name is a letter, then letters, digits and . _ - , 31 characters at most";

std::string in_quotes(std::string_view text) { return "'" + printable(text) + "'"; }

std::string domain_heading(std::string_view name)
{
	return "[domain." + printable(key_text(name)) + "]";
}

void check_name(Toml_table &table, Position at, std::string_view what, std::string_view name)
{
	std::string_view const problem = fault_of_name(name);
	if (problem.empty()) return;
	std::string text(what);
	table.fault_at(
		at, text + " " + in_quotes(name) + " " + std::string(problem), std::string(NAME_REMEDY));
}

bool valid_service(Toml_table &table, Position at, std::string_view name)
{
	if (name == "*" || (made_of_name_characters(name) && name.size() <= SERVICE_NAME_BYTES_MAX))
		return true;
	table.fault_at(at, "a service can't be called " + in_quotes(name),
		name.find('+') == std::string_view::npos
			? "use letters, digits and . _ - , or * for all services"
			: "name it without argument: one service takes all arguments");
	return false;
}

/* Of a path in a domain. */
bool check_target(Toml_table &table, Position at, std::string_view path)
{
	auto const refuse = [&](std::string_view problem, std::string_view remedy) {
		table.fault_at(at, in_quotes(path) + " " + std::string(problem), std::string(remedy));
		return false;
	};
	if (!path.starts_with('/'))
		return refuse("is no absolute path", "a path in a domain begins with /");
	if (path.size() > TARGET_BYTES_MAX) return refuse("is too long", "1024 bytes at most");
	std::filesystem::path const parts(path);
	if (std::ranges::any_of(parts, [](auto const &part) { return part == ".." || part == "."; }))
		return refuse("has '.' or '..' in it", "write where it leads to");
	std::string const clean = parts.lexically_normal().string();
	if (clean == "/" || clean == "/dev" || clean == "/proc" || clean.starts_with("/proc/"))
		return refuse("is the sandbox's own", "choose another place, or one below it");
	return true;
}

/* Without superfluous slashes. */
std::string clean_target(std::string_view path)
{
	std::string clean = std::filesystem::path(path).lexically_normal().string();
	while (clean.size() > 1 && clean.ends_with('/')) clean.pop_back();
	return clean;
}

void check_program(Toml_table &table, std::string_view key, std::vector<std::string> const &words)
{
	Toml const *const list = table.find(key);
	if (!list || list->type != Type::LIST) return;
	if (words.empty())
		table.fault(key, "'" + std::string(key) + "' in " + table.heading() + " is empty",
			"write the program's path, then its arguments: [\"/usr/bin/thing\", \"-x\"]");
	else if (!words.front().starts_with('/'))
		table.fault(key, in_quotes(words.front()) + " is no absolute path",
			"write the program's path in the domain: there is no search for it");
}

/* Finds names that are there twice. */
void check_twice(Toml_table &table, Texts const &items, std::string_view what)
{
	for (auto item = items.begin(); item != items.end(); ++item)
		if (std::any_of(items.begin(), item,
				[&](Toml const *earlier) { return earlier->text == (*item)->text; }))
			table.fault_at((*item)->at,
				std::string(what) + " " + in_quotes((*item)->text) + " is there twice",
				"remove one of them");
}

/* Where a text begins whose value is at a place: behind its quotes. */
Position first_line_of(std::string_view text, Position at)
{
	std::string_view rest = text;
	for (unsigned line = 1; line < at.line && !rest.empty(); ++line)
		rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
	rest = rest.substr(0, rest.find('\n'));
	// The column counts characters, of which the continuing bytes are no part.
	unsigned column = 1;
	while (!rest.empty() && (column < at.column || (rest.front() & 0xc0) == 0x80)) {
		rest.remove_prefix(1);
		if (!rest.empty() && (rest.front() & 0xc0) != 0x80) ++column;
	}
	if (!rest.starts_with("\"\"\"") && !rest.starts_with("\'\'\'")) return {at.line, at.column + 1};
	bool const below = rest.size() == 3 || (rest.size() == 4 && rest[3] == '\r');
	return below ? Position{at.line + 1, 1} : Position{at.line, at.column + 3};
}

} // namespace

System_reader::System_reader(Reading &reading) : _reading(reading)
{
	std::error_code error;
	std::filesystem::path const path =
		std::filesystem::absolute(reading.plan.manifest, error).lexically_normal();
	_folder = path.parent_path().string();
}

/* Absolute; empty if it isn't there. */
std::string System_reader::_host_path(Toml_table &table, std::string_view key)
{
	std::string const path = table.text(key);
	Toml const *const value = table.find(key);
	if (path.empty() && value && value->type == Type::TEXT)
		table.fault(key, "'" + std::string(key) + "' in " + table.heading() + " is empty",
			"write a path, or leave it out");
	if (path.empty() || path.starts_with('/')) return path;
	return (std::filesystem::path(_folder) / path).lexically_normal().string();
}

void System_reader::_read_system(Toml const &root)
{
	System_plan &plan = _reading.plan;
	Toml const empty{.type = Type::TABLE};
	Toml_table whole(root, "the manifest", _reading.faults);
	Toml const *const entry = whole.table("system");
	Toml_table table(entry ? *entry : empty, "[system]", _reading.faults);
	table.check_keys({"name", "policy", "rules", "logs", "permit_weaker"});
	plan.name = table.text("name");
	Toml const *const name = table.find("name");
	if (name && name->type == Type::TEXT) {
		check_name(table, name->at, "the system's name", plan.name);
	} else if (!name) {
		plan.name = std::filesystem::path(plan.manifest).stem().string();
		if (!fault_of_name(plan.name).empty())
			table.fault({}, "the file's name is no name for a system",
				"add name = \"…\" to [system]: " + std::string(NAME_REMEDY));
	}
	plan.policy_directory = _host_path(table, "policy");
	plan.rules = table.text("rules");
	plan.logs = _host_path(table, "logs");
	Toml const *const rules = table.find("rules");
	if (rules) plan.rules_at = first_line_of(_reading.text, rules->value_at);
	if (rules && table.find("policy"))
		table.fault("rules", "both 'policy' and 'rules' in [system]", "keep one of them");
	if (!rules && !table.find("policy"))
		table.fault({}, "nothing says who may call whom",
			"add policy = \"policy.d\" (a folder in Qubes' language) or rules = \'\'\'…\'\'\' to "
			"[system]");
	constexpr std::string_view ABILITIES[] = {
		"namespaces", "seccomp", "landlock", "memory_limit", "cpu_limit", "process_limit"};
	Texts const weaker = table.texts("permit_weaker", std::size(ABILITIES));
	check_twice(table, weaker, "the ability");
	for (Toml const *const item : weaker) {
		plan.permit_weaker.push_back(item->text);
		if (std::ranges::find(ABILITIES, item->text) == std::end(ABILITIES))
			table.fault_at(item->at, "there is no ability " + in_quotes(item->text),
				suggestion(item->text, ABILITIES));
	}
}

void System_reader::_read_component(Toml_table &table, Domain_plan &plan)
{
	plan.component = table.text("component");
	check_name(table, table.find("component")->at, "the component", plan.component);
	if (plan.component == "program")
		table.fault("component", "the component 'program' can't be named",
			"leave 'component' out: it is what runs ordinary programs");
	for (std::string_view const key : {"environment", "service", "mount"})
		if (table.find(key))
			table.fault(key,
				"'" + std::string(key) + "' in " + table.heading() + " is for ordinary programs",
				"remove it, or 'component'");
	Texts const services = table.texts("services", SERVICES_MAX);
	check_twice(table, services, "the service");
	for (Toml const *const item : services)
		if (valid_service(table, item->at, item->text)) plan.services.push_back(item->text);
	plan.config = table.text("config");
	std::string const file = _host_path(table, "config_file");
	if (!table.find("config_file")) return;
	if (table.find("config"))
		table.fault("config_file", "both 'config' and 'config_file' in " + table.heading(),
			"keep one of them");
	else if (!file.empty())
		_config_files.push_back(
			{_reading.plan.domains.size(), file, table.find("config_file")->at});
}

void System_reader::_read_environment(Toml_table &table, Domain_plan &plan)
{
	Toml const *const entries = table.table("environment");
	if (!entries) return;
	if (entries->items.size() > ARGUMENTS_MAX)
		table.fault("environment", "more than 256 entries in 'environment'", "remove some");
	Toml_table environment(*entries, domain_heading(plan.name + ".environment"), _reading.faults);
	for (Toml const &entry : entries->items) {
		if (entry.key.empty() ||
			entry.key.find_first_of(std::string_view("=\0", 2)) != std::string::npos)
			environment.fault_at(entry.at,
				in_quotes(entry.key) + " can't be the name of a variable",
				"a name has no '=' and isn't empty");
		plan.environment.push_back(entry.key + "=" + environment.text(entry.key));
	}
}

void System_reader::_read_commands(Toml_table &table, Domain_plan &plan)
{
	Toml const *const services = table.table("service");
	if (!services) return;
	if (services->items.size() > SERVICES_MAX)
		table.fault("service", "more than 256 services", "one service takes all arguments");
	for (Toml const &entry : services->items) {
		std::string const heading =
			"[domain." + key_text(plan.name) + ".service." + key_text(entry.key) + "]";
		if (!table.holds_table(entry, heading)) continue;
		valid_service(table, entry.at, entry.key);
		Toml_table service(entry, printable(heading), _reading.faults);
		service.check_keys({"command"});
		Service_command command{entry.key, service.strings("command", ARGUMENTS_MAX), entry.at};
		if (!service.find("command"))
			service.fault({}, "'command' is missing in " + service.heading(),
				"add command = [\"/path/of/program\", \"argument\"]");
		check_program(service, "command", command.command);
		plan.commands.push_back(std::move(command));
	}
}

void System_reader::_read_mounts(Toml_table &table, Domain_plan &plan)
{
	Toml const *const mounts = table.table("mount");
	if (!mounts) return;
	if (mounts->items.size() > MOUNTS_MAX)
		table.fault("mount", "more than 16 mounts", "serve several directories under one name");
	for (Toml const &entry : mounts->items) {
		std::string const heading =
			"[domain." + key_text(plan.name) + ".mount." + key_text(entry.key) + "]";
		if (!table.holds_table(entry, heading)) continue;
		Toml_table mount(entry, printable(heading), _reading.faults);
		mount.check_keys({"domain", "name"});
		check_target(mount, entry.at, entry.key);
		Mount plan_of{clean_target(entry.key), mount.text("domain"), mount.text("name")};
		for (std::string_view const key : {"domain", "name"})
			if (!mount.find(key))
				mount.fault({}, "'" + std::string(key) + "' is missing in " + mount.heading(),
					key == "name" ? "add name = …: what the other domain serves it as"
								  : "add domain = …: the one that serves the files");
		if (!plan_of.name.empty() && !made_of_name_characters(plan_of.name, "+"))
			mount.fault("name", "nothing is served as " + in_quotes(plan_of.name),
				"use letters, digits and . _ - +");
		if (!plan_of.domain.empty())
			_references.push_back({_reading.plan.domains.size(), mount.find("domain")->at,
				Reference::Kind::MOUNT, plan_of.domain});
		plan.mounts.push_back(std::move(plan_of));
	}
}

void System_reader::_read_program(Toml_table &table, Domain_plan &plan)
{
	for (std::string_view const key : {"config", "config_file"})
		if (table.find(key))
			table.fault(key,
				"'" + std::string(key) + "' in " + table.heading() + " is for components",
				"hand it to the program by 'files' or 'environment'");
	if (table.find("services"))
		table.fault("services", "a program serves by commands",
			"begin a table for each: [domain." + printable(key_text(plan.name)) +
				".service.NAME] with command = [\"/path\"]");
	plan.program = table.strings("program", ARGUMENTS_MAX);
	check_program(table, "program", plan.program);
	_read_environment(table, plan);
	_read_commands(table, plan);
	_read_mounts(table, plan);
	plan.config = to_text({plan.program, plan.environment, plan.commands, plan.mounts});
	if (plan.config.size() > PROGRAM_CONFIG_MAX)
		table.fault({}, table.heading() + " is too long for its program", "1 MiB at most");
}

void System_reader::_read_kind(Toml_table &table, Domain_plan &plan)
{
	Toml const *const component = table.find("component");
	if (component && table.find("program"))
		return table.fault("program", "both 'component' and 'program' in " + table.heading(),
			"keep one of them: a domain runs a component of Bulkhead's, or ordinary programs");
	if (component && component->type == Type::TEXT) return _read_component(table, plan);
	if (component) {
		static_cast<void>(table.text("component"));
		return;
	}
	_read_program(table, plan);
	if (!table.find("program") && !table.find("service"))
		table.fault({}, table.heading() + " has nothing to run",
			"add component = \"…\", program = [\"…\"], or a service with its command");
}

void System_reader::_read_devices(Toml_table &table, Domain_plan &plan)
{
	Toml const *const devices = table.table("device");
	if (!devices) return;
	if (devices->items.size() > DEVICES_MAX)
		table.fault("device", "more than 64 devices", "give some to another domain");
	for (Toml const &entry : devices->items) {
		std::string const heading =
			"[domain." + key_text(plan.name) + ".device." + key_text(entry.key) + "]";
		if (!table.holds_table(entry, heading)) continue;
		check_name(table, entry.at, "the device", entry.key);
		Toml_table device(entry, printable(heading), _reading.faults);
		device.check_keys({"path", "socket", "writable"});
		plan.devices.push_back({entry.key, _host_path(device, "path"), _host_path(device, "socket"),
			device.boolean("writable", true)});
		bool const path = device.find("path");
		bool const socket = device.find("socket");
		if (path == socket)
			device.fault(path ? "socket" : "",
				(path ? "both 'path' and 'socket' in " : "neither 'path' nor 'socket' in ") +
					device.heading(),
				path ? "keep one of them" : "add path = \"/dev/…\", or the socket to connect to");
		if (socket && device.find("writable"))
			device.fault("writable", "a socket has no 'writable'", "remove it");
	}
}

void System_reader::_read_files(Toml_table &table, Domain_plan &plan)
{
	Toml const *const files = table.list("files", FILES_MAX);
	if (!files) return;
	std::string const heading = "'files' in " + table.heading();
	for (Toml const &item : files->items) {
		Seen_file file;
		Position target_at = item.at;
		if (item.type == Type::TEXT) {
			file.source = file.target = item.text;
			if (item.text.find('\0') != std::string::npos) file.target.clear();
		} else if (item.type == Type::TABLE) {
			Toml_table entry(item, heading, _reading.faults);
			entry.check_keys({"source", "target", "writable"});
			file = {_host_path(entry, "source"), entry.text("target"),
				entry.boolean("writable", false)};
			if (Toml const *const target = entry.find("target"))
				target_at = target->at;
			else
				file.target = file.source;
			if (!entry.find("source")) {
				entry.fault({}, "'source' is missing in " + heading,
					"write { source = \"…\", target = \"/…\" }");
				continue;
			}
			if (file.source.empty()) continue;
		} else {
			table.fault_at(item.at, heading + " holds " + std::string(described(item.type)),
				"write \"/path\", or { source = \"…\", target = \"/…\", writable = true }");
			continue;
		}
		if (!check_target(table, target_at, file.target)) continue;
		file.target = clean_target(file.target);
		auto const there = [&](auto const &other) { return other.target == file.target; };
		if (std::ranges::any_of(plan.files, there) || std::ranges::any_of(plan.mounts, there))
			table.fault_at(target_at, in_quotes(file.target) + " is there twice",
				"one place shows one thing: choose another target");
		plan.files.push_back(std::move(file));
	}
}

void System_reader::_read_relations(Toml_table &table, Domain_plan &plan)
{
	Texts const tags = table.texts("tags", TAGS_MAX);
	check_twice(table, tags, "the tag");
	for (Toml const *const tag : tags) {
		plan.tags.push_back(tag->text);
		if (!made_of_name_characters(tag->text) || tag->text.size() > TAGS_MAX)
			table.fault_at(tag->at, in_quotes(tag->text) + " can't be a tag",
				"use letters, digits and . _ - , 64 of them at most");
	}
	Texts const needs = table.texts("needs", DOMAINS_MAX);
	check_twice(table, needs, "the need");
	for (Toml const *const need : needs) {
		plan.needs.push_back(need->text);
		_references.push_back(
			{_reading.plan.domains.size(), need->at, Reference::Kind::NEED, need->text});
	}
	plan.start = static_cast<Start>(table.choice("start", 0, {"at_once", "on_call"}));
	plan.restart =
		static_cast<Restart>(table.choice("restart", 1, {"always", "on_failure", "never"}));
}

void System_reader::_read_limits(Toml_table &table, Domain_plan &plan)
{
	plan.scratch_bytes = table.size("scratch", plan.scratch_bytes, {4096, BYTES_MOST});
	plan.memory_bytes = table.size("memory", plan.memory_bytes, {MIB, BYTES_MOST});
	plan.log_bytes = table.size("log", plan.log_bytes, {4096, BYTES_MOST});
	plan.ring_bytes = static_cast<uint32_t>(table.size("ring", plan.ring_bytes, {4096, 64 * MIB}));
	plan.cpu_percent = static_cast<unsigned>(table.percent("cpu", plan.cpu_percent, {1, 102400}));
	// A call of an ordinary program has some processes: one caller, who may have a share of the
	// calls, mustn't have all of the processes.
	bool const programs = plan.component.empty();
	plan.processes_max = static_cast<unsigned>(table.number(
		"processes", programs ? PROGRAMS_PROCESSES : plan.processes_max, {1, 1U << 22}));
	plan.calls_max = static_cast<unsigned>(
		table.number("calls", programs ? PROGRAMS_CALLS : plan.calls_max, {1, 65536}));
	Texts const calls = table.texts("system_calls", SYSTEM_CALLS_MAX);
	check_twice(table, calls, "the system call");
	for (Toml const *const call : calls) {
		plan.extra_system_calls.push_back(call->text);
		if (!made_of_name_characters(call->text, "@"))
			table.fault_at(call->at, "there is no system call " + in_quotes(call->text),
				"write the kernel's names, such as \"socket\", or \"@program\"");
	}
}

void System_reader::_read_domain(Toml const &entry)
{
	Domain_plan plan{.name = entry.key, .at = entry.at, .component = {}};
	Toml_table table(entry, domain_heading(entry.key), _reading.faults);
	check_name(table, entry.at, "the domain", entry.key);
	if (entry.key == OPERATOR || entry.key == "Domain-0")
		table.fault({}, "no domain can be called " + in_quotes(entry.key),
			"it is the operator, in whose name `bulkhead call` asks");
	table.check_keys({"component", "program", "environment", "services", "service", "config",
		"config_file", "mount", "device", "files", "scratch", "system_calls", "tags", "needs",
		"start", "restart", "memory", "cpu", "processes", "calls", "log", "ring"});
	_read_kind(table, plan);
	_read_devices(table, plan);
	_read_files(table, plan);
	_read_relations(table, plan);
	_read_limits(table, plan);
	_reading.plan.domains.push_back(std::move(plan));
}

void System_reader::read(Toml const &root)
{
	Toml_table whole(root, "the manifest", _reading.faults);
	whole.check_keys({"system", "domain"});
	_read_system(root);
	Toml const *const domains = whole.table("domain");
	if (!domains || domains->items.empty()) {
		if (!domains && root.find("domain")) return;
		return whole.fault_at({}, "there is no domain", "add a table [domain.NAME]");
	}
	if (domains->items.size() > DOMAINS_MAX)
		return whole.fault("domain", "more than 1024 domains", "make two systems of it");
	for (Toml const &entry : domains->items)
		if (whole.holds_table(entry, domain_heading(entry.key))) _read_domain(entry);
}

} // namespace bulkhead::domain
