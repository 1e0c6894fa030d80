#pragma once

// What tests, fuzz targets and benchmarks share: files in memory, memory that notices what isn't
// given back, a system that has one domain of each sort, and the verdict as a line of text.

#include "rpc/policy/ask/asker.h"

#include <array>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace bulkhead::policy::test {

/* The heap; counts what is out, and refuses from some allocation on. */
class Heap final : public Allocator
{
private:
	size_t _out = 0;
	size_t _left; // allocations

public:
	explicit Heap(size_t allocations = std::numeric_limits<size_t>::max()) : _left(allocations) {}
	Heap(Heap const &) = delete;
	~Heap() { BULKHEAD_ASSERT(_out == 0); }

	size_t out() const { return _out; }

	Attempt<std::span<std::byte>> allocate(size_t size, size_t align) override
	{
		if (_left == 0) return Error::OUT_OF_MEMORY;
		size_t const aligned = std::max(align, sizeof(void *));
		void *const memory =
			std::aligned_alloc(aligned, (std::max<size_t>(size, 1) + aligned - 1) & ~(aligned - 1));
		if (!memory) return Error::OUT_OF_MEMORY;
		--_left;
		_out += size;
		return std::span<std::byte>(static_cast<std::byte *>(memory), size);
	}

	void free(void *memory, size_t size) override
	{
		_out -= size;
		std::free(memory);
	}
};

/* Files by their paths. A directory is there if a file of its own is, or if it is named. */
struct Memory_files final : Files
{
	std::map<std::string, std::string, std::less<>> texts{};
	std::vector<std::string> directories{};

	Attempt<void> list(std::string_view directory, Names &names) override
	{
		bool there = directory.empty();
		for (std::string const &known : directories) there = there || known == directory;
		std::string const prefix = directory.empty() ? "" : std::string(directory) + "/";
		for (auto const &[path, text] : texts) {
			if (!path.starts_with(prefix)) continue;
			there = true;
			std::string_view const rest = std::string_view(path).substr(prefix.size());
			if (rest.find('/') == std::string_view::npos) TRY(names.name(rest));
		}
		if (!there) return Error::NOT_FOUND;
		return Ok{};
	}

	Attempt<std::string_view> read(std::string_view path) override
	{
		auto const found = texts.find(path);
		if (found == texts.end()) return Error::NOT_FOUND;
		return std::string_view(found->second);
	}
};

inline std::string uuid_of(unsigned number)
{
	std::string uuid = "00000000-0000-4000-8000-000000000000";
	for (size_t at = uuid.size(); number; number /= 10)
		uuid[--at] = static_cast<char>('0' + number % 10);
	return uuid;
}

/* Domains as a test writes them down; views stay valid as long as it is not changed. */
struct Described
{
	std::string name;
	std::string type = "AppVM";
	std::vector<std::string_view> tags{};
	std::string default_dispvm = "base-dvm";
	bool template_for_dispvms = false;
	bool running = false;
	bool internal = false;
	std::string relayvm{};
	std::string transport_rpc{};
	std::string uuid{};
};

/*
 * Domain number n, counted from 0, has the UUID `uuid_of(n)`, dom0 has zeros. Without a default
 * disposable: bare. Running: dom0, work, web, relay, far, far-lost, far-mute.
 */
inline std::vector<Described> standard_domains()
{
	std::vector<Described> domains{
		{.name = "dom0", .type = "AdminVM", .tags = {"boss"}, .running = true},
		{.name = "work", .tags = {"office", "red"}, .running = true},
		{.name = "web", .tags = {"red"}, .running = true},
		{.name = "vault", .tags = {"secret"}},
		{.name = "base-dvm", .tags = {"throwaway"}, .template_for_dispvms = true},
		{.name = "net-dvm", .tags = {"throwaway", "red"}, .template_for_dispvms = true},
		{.name = "bare", .tags = {"office"}, .default_dispvm = ""},
		{.name = "debian", .type = "TemplateVM"},
		{.name = "lone", .type = "StandaloneVM", .default_dispvm = "net-dvm"},
		{.name = "odd", .default_dispvm = "work"},
		{.name = "lost", .default_dispvm = "gone-dvm"},
		{.name = "hidden", .tags = {"red"}, .internal = true},
		{.name = "relay", .running = true},
		{.name = "far",
			.type = "RemoteVM",
			.default_dispvm = "",
			.running = true,
			.relayvm = "relay",
			.transport_rpc = "net.Proxy"},
		{.name = "far-lost",
			.type = "RemoteVM",
			.running = true,
			.relayvm = "no-relay",
			.transport_rpc = "net.Proxy"},
		{.name = "far-mute", .type = "RemoteVM", .running = true, .relayvm = "relay"},
	};
	for (unsigned i = 0; i < domains.size(); ++i)
		domains[i].uuid = i ? "uuid:" + uuid_of(i) : std::string(ADMIN_UUID);
	return domains;
}

inline std::vector<Domain_description> descriptions(std::vector<Described> const &domains)
{
	std::vector<Domain_description> result;
	for (Described const &domain : domains)
		result.push_back({.name = domain.name,
			.type = domain.type,
			.tags = domain.tags,
			.default_dispvm = domain.default_dispvm,
			.uuid = domain.uuid,
			.relayvm = domain.relayvm,
			.transport_rpc = domain.transport_rpc,
			.template_for_dispvms = domain.template_for_dispvms,
			.running = domain.running,
			.internal = domain.internal});
	return result;
}

inline std::string text_of(Asker const &asker, Destination const &destination)
{
	std::array<char, 512> memory;
	Text_writer writer{memory};
	asker.write(writer, destination);
	return std::string(writer.text());
}

/*
 * `deny`, `deny quietly`, `request error`, `allow TARGET …` or `ask CHOICE,CHOICE… …` (sorted), and
 * what isn't usual: `user=`, `autostart=no`, `notify=yes`, `default=`, `refused` (the call can't be
 * made).
 */
inline std::string line_of(Asker const &asker, Verdict const &verdict)
{
	if (verdict.action == Action::DENY) {
		if (verdict.denial >= Denial::SOURCE_UNKNOWN) return "request error";
		return verdict.notify ? "deny" : "deny quietly";
	}
	std::string line = "allow " + text_of(asker, verdict.target);
	if (verdict.action == Action::ASK) {
		std::vector<std::string> choices;
		asker.for_each_choice(
			[&](Destination const &choice) { choices.push_back(text_of(asker, choice)); });
		std::ranges::sort(choices);
		line = "ask ";
		for (std::string const &choice : choices) line += choice + ",";
		line.pop_back();
		if (verdict.target.kind != Destination::Kind::DEFAULT)
			line += " default=" + text_of(asker, verdict.target);
	}
	Rule const &rule = asker.policy().rules()[verdict.rule];
	if (rule.user) line += " user=" + std::string(*rule.user);
	if (!verdict.autostart) line += " autostart=no";
	if (verdict.notify) line += " notify=yes";
	if (verdict.action == Action::ALLOW && asker.call_fault(verdict) != Call_fault::OK)
		line += " refused";
	return line;
}

} // namespace bulkhead::policy::test
