#include "rpc/policy/token.h"

#include <array>
#include <bit>

namespace bulkhead::policy {

namespace {

using Kind = Token::Kind;

struct Word
{
	std::string_view text;
	Kind kind;
	int positions;
};

// The table of the language: which word may stand where. Behind a colon something follows; a longer
// prefix stands before the one that it begins with.
constexpr std::array WORDS{
	Word{"*", Kind::EVERY, SOURCE | TARGET},
	Word{"@adminvm", Kind::ADMIN, SOURCE | TARGET | REDIRECT | REQUEST},
	Word{"@anyvm", Kind::ANY, SOURCE | TARGET},
	Word{"@default", Kind::DEFAULT, TARGET | REQUEST},
	Word{"@dispvm", Kind::DISPOSABLE, TARGET | REDIRECT | REQUEST},
	Word{"@dispvm:@tag:", Kind::DISPOSABLE_TAG, SOURCE | TARGET},
	Word{"@dispvm:", Kind::DISPOSABLE_OF, SOURCE | TARGET | REDIRECT | REQUEST},
	Word{"@tag:", Kind::TAG, SOURCE | TARGET},
	Word{"@type:", Kind::TYPE, SOURCE | TARGET},
};

// By position.
constexpr std::array UNKNOWN{Fault::Kind::UNKNOWN_SOURCE, Fault::Kind::UNKNOWN_TARGET,
	Fault::Kind::UNKNOWN_REDIRECT, Fault::Kind::UNKNOWN_TARGET};
constexpr std::array MISPLACED{Fault::Kind::SOURCE_NOT_HERE, Fault::Kind::TARGET_NOT_HERE,
	Fault::Kind::REDIRECT_NOT_HERE, Fault::Kind::TARGET_NOT_HERE};

} // namespace

Attempt<Token, Fault::Kind> parse_token(std::string_view text, Position position)
{
	auto const where = static_cast<size_t>(std::countr_zero<unsigned>(position));
	if (text.empty()) return Fault::Kind::EMPTY_TOKEN;
	if (text.starts_with(UUID_PREFIX)) return Token{Kind::UUID, text, text};
	for (Word const &word : WORDS) {
		bool const prefix = word.text.ends_with(':');
		if (prefix ? !text.starts_with(word.text) : text != word.text) continue;
		std::string_view const value = text.substr(word.text.size());
		if (prefix && value.empty()) return Fault::Kind::EMPTY_TOKEN;
		if (value.starts_with('@')) return UNKNOWN[where];
		if (!(word.positions & position)) return MISPLACED[where];
		return Token{word.kind, value, text};
	}
	if (text[0] == '@') return UNKNOWN[where];
	return Token{Kind::NAME, text, text};
}

} // namespace bulkhead::policy
