#include "vfs/config.h"

#include <algorithm>

namespace bulkhead::vfs {

namespace {

using Type = Config_value::Type;

std::string_view described(Type type)
{
	switch (type) {
	case Type::ABSENT: return "nothing";
	case Type::TEXT: return "a text";
	case Type::NUMBER: return "a number";
	case Type::BOOLEAN: return "true or false";
	case Type::LIST: return "a list";
	case Type::OTHER: break;
	}
	return "a value of another type";
}

template <size_t N>
void put(Fixed_string<N> &to, std::string_view text)
{
	static_cast<void>(to.append(text.substr(0, to.capacity() - to.size())));
}

template <typename... ARGS>
Config_fault fault_of(std::string_view key, ARGS const &...problem)
{
	Config_fault fault = Config::fault(key, std::string_view());
	char text[fault.problem.capacity()];
	Text_writer writer{text};
	format_all(writer, problem...);
	put(fault.problem, writer.text());
	return fault;
}

Config_fault wrong_type(std::string_view key, Type found, std::string_view wanted)
{
	return fault_of(key, "is ", described(found), ", and should be ", wanted);
}

Config_fault unknown(std::string_view key, std::span<Key const> known, std::span<Key const> common)
{
	Config_fault fault = Config::fault(key, "isn't known here");
	Guess guess(key);
	for (auto const &keys : {known, common})
		for (Key const &k : keys) guess.offer(k.name);
	if (!guess.nearest().empty()) {
		put(fault.remedy, "did you mean '");
		put(fault.remedy, guess.nearest());
		put(fault.remedy, "'?");
		return fault;
	}
	put(fault.remedy, known.empty() ? "remove it" : "there are: ");
	for (Key const &k : known) {
		if (&k != known.data()) put(fault.remedy, ", ");
		put(fault.remedy, k.name);
	}
	return fault;
}

} // namespace

Config_fault Config::fault(std::string_view key, std::string_view problem, std::string_view remedy)
{
	Config_fault fault;
	put(fault.key, key);
	put(fault.problem, problem);
	put(fault.remedy, remedy);
	return fault;
}

Config_fault Config::fault(std::string_view key, Error error)
{
	return fault_of(key, key.empty() ? "can't be made: " : "can't be used: ", name_of(error));
}

Attempt<std::string_view, Config_fault> Config::text(
	std::string_view key, std::string_view otherwise) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return otherwise;
	if (found.type != Type::TEXT) return wrong_type(key, found.type, "a text");
	return found.text;
}

Attempt<uint64_t, Config_fault> Config::number(
	std::string_view key, uint64_t otherwise, uint64_t least, uint64_t most) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return otherwise;
	if (found.type != Type::NUMBER) return wrong_type(key, found.type, "a number");
	if (found.number < 0 || static_cast<uint64_t>(found.number) < least)
		return fault_of(key, "is ", found.number, "; the least is ", least);
	uint64_t const number = static_cast<uint64_t>(found.number);
	if (number > most) return fault_of(key, "is ", number, "; the most is ", most);
	return number;
}

Attempt<uint64_t, Config_fault> Config::size(std::string_view key, uint64_t otherwise) const
{
	Config_value const found = value(key);
	if (found.type != Type::TEXT) {
		auto const bytes = number(key, otherwise);
		if (found.type == Type::NUMBER || bytes.ok()) return bytes;
		return wrong_type(key, found.type, "a size such as \"16 MiB\"");
	}
	auto const bytes = size_of_text(found.text);
	if (bytes.ok()) return bytes.value();
	return fault(key, bytes.error() == Error::RANGE ? "is too large" : "is no size",
		"write a number of bytes, or a text such as \"64 KiB\", \"16 MiB\" or \"1 GiB\"");
}

Attempt<bool, Config_fault> Config::boolean(std::string_view key, bool otherwise) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return otherwise;
	if (found.type != Type::BOOLEAN) return wrong_type(key, found.type, "true or false");
	return found.boolean;
}

Attempt<size_t, Config_fault> Config::list_size(std::string_view key) const
{
	Config_value const found = value(key);
	if (found.type == Type::ABSENT) return size_t{0};
	if (found.type != Type::LIST) return wrong_type(key, found.type, "a list of texts");
	return found.items;
}

Attempt<std::string_view, Config_fault> Config::list_item(std::string_view key, size_t index) const
{
	Config_value const found = item(key, index);
	if (found.type != Type::TEXT) return wrong_type(key, found.type, "a list of texts");
	return found.text;
}

Attempt<void, Config_fault> Config::check(
	std::span<Key const> known, std::span<Key const> common) const
{
	auto const among = [](std::span<Key const> keys, std::string_view name) {
		return std::ranges::any_of(keys, [&](Key const &k) { return k.name == name; });
	};
	for (size_t i = 0; !key(i).empty(); ++i)
		if (!among(known, key(i)) && !among(common, key(i))) return unknown(key(i), known, common);
	for (Key const &k : known)
		if (k.required && value(k.name).type == Type::ABSENT) {
			Config_fault missing = fault(k.name, "is missing", "add it: ");
			put(missing.remedy, k.help);
			return missing;
		}
	return Ok{};
}

} // namespace bulkhead::vfs
