#pragma once

// The language once more, as directly as it can be said: every rule is looked at, every word is
// compared as text. What the index finds must be what this finds.

#include "rpc/policy/test/support.h"

#include <optional>
#include <set>

namespace bulkhead::policy::test {

class Model
{
private:
	Policy const &_policy;
	std::vector<Described> const &_domains;

	static bool _admin(std::string_view text)
	{
		return text == "@adminvm" || text == ADMIN_NAME || text == ADMIN_UUID;
	}

	bool _same(std::string_view a, std::string_view b) const
	{
		if (a == b) return true;
		Described const *const one = find(a);
		return one && one == find(b);
	}

	bool _tagged(Described const &domain, std::string_view tag) const
	{
		return std::ranges::find(domain.tags, tag) != domain.tags.end();
	}

	bool _class_fits(Token const &token, std::string_view text) const
	{
		Described const *const domain = find(text);
		if (!domain) return false;
		return token.kind == Token::Kind::TYPE ? domain->type == token.value
											   : _tagged(*domain, token.value);
	}

	bool _disposable_fits(Token const &token, std::string_view text, std::string_view source) const
	{
		std::string wanted(text);
		if (text == "@dispvm") {
			Described const *const from = find(source);
			if (!from || from->default_dispvm.empty()) return false;
			wanted = "@dispvm:" + from->default_dispvm;
			if (token.kind == Token::Kind::DISPOSABLE_OF) return token.text == wanted;
		}
		if (!wanted.starts_with(DISPVM_PREFIX)) return false;
		std::string_view const name = std::string_view(wanted).substr(DISPVM_PREFIX.size());
		if (token.kind == Token::Kind::DISPOSABLE_OF) return _same(token.value, name);
		Described const *const domain = find(name);
		return domain && domain->template_for_dispvms && _tagged(*domain, token.value);
	}

	using Set = std::set<std::string>;

	Set _expand(Token const &token) const
	{
		using Kind = Token::Kind;
		Set set;
		if (token.kind == Kind::ADMIN) set.insert("@adminvm");
		if (token.kind == Kind::DISPOSABLE || token.kind == Kind::EVERY || token.kind == Kind::ANY)
			set.insert("@dispvm");
		if (token.kind == Kind::NAME || token.kind == Kind::UUID)
			if (Described const *const domain = find(token.text)) set.insert(domain->name);
		if (token.kind == Kind::DISPOSABLE_OF)
			if (Described const *const domain = find(token.value);
				domain && domain->template_for_dispvms)
				set.insert("@dispvm:" + domain->name);
		for (Described const &domain : _domains) {
			bool const all = token.kind == Kind::EVERY || token.kind == Kind::ANY;
			bool const of_class = (token.kind == Kind::TYPE || token.kind == Kind::TAG) &&
				_class_fits(token, domain.name);
			if ((all && (token.kind == Kind::EVERY || domain.type != "AdminVM")) || of_class)
				set.insert(domain.name);
			bool const tagged = token.kind == Kind::DISPOSABLE_TAG && _tagged(domain, token.value);
			if (domain.template_for_dispvms && (all || tagged))
				set.insert("@dispvm:" + domain.name);
		}
		return set;
	}

public:
	Model(Policy const &policy, std::vector<Described> const &domains)
		: _policy(policy), _domains(domains)
	{}

	Described const *find(std::string_view text) const
	{
		for (Described const &domain : _domains)
			if (domain.name == text || domain.uuid == text) return &domain;
		return nullptr;
	}

	bool fits(Token const &token, std::string_view text, std::string_view source) const
	{
		using Kind = Token::Kind;
		switch (token.kind) {
		case Kind::EVERY: return true;
		case Kind::ANY: return !_admin(text);
		case Kind::DEFAULT:
		case Kind::DISPOSABLE: return token.text == text;
		case Kind::TYPE:
		case Kind::TAG: return _class_fits(token, text);
		case Kind::DISPOSABLE_OF:
		case Kind::DISPOSABLE_TAG: return _disposable_fits(token, text, source);
		case Kind::ADMIN: return _admin(text);
		default: return (token.admin() && _admin(text)) || _same(token.text, text);
		}
	}

	bool fits_but_target(Rule const &rule, Request const &request) const
	{
		return (rule.service == EACH || rule.service == request.service) &&
			(rule.argument == EACH || rule.argument == request.argument) &&
			// A source is never about to be made.
			!_policy.tokens()[rule.source].text.starts_with(DISPVM_PREFIX) &&
			fits(_policy.tokens()[rule.source], request.source, request.source);
	}

	/* The text that rules are compared with, or nothing if it can't be asked for. */
	std::optional<std::string> target_of(Request const &request) const
	{
		if (request.target.empty()) return "@default";
		auto const parsed = parse_token(request.target, Position::REQUEST);
		if (!parsed.ok()) return {};
		Token const &token = parsed.value();
		if (token.kind == Token::Kind::DISPOSABLE_OF) {
			Described const *const base = find(token.value);
			if (!base || !base->template_for_dispvms) return {};
		}
		bool const name = token.kind == Token::Kind::NAME || token.kind == Token::Kind::UUID;
		return name && !find(request.target) ? "@default" : std::string(request.target);
	}

	/* The rule that decides, by looking at each. */
	uint32_t first(Request const &request) const
	{
		std::optional<std::string> const target = target_of(request);
		for (uint32_t i = 0; target && i < _policy.rules().size(); ++i) {
			Rule const &rule = _policy.rules()[i];
			if (fits_but_target(rule, request) &&
				fits(_policy.tokens()[rule.target], *target, request.source))
				return i;
		}
		return NONE;
	}

	/* What ask offers, by walking the rules in reverse. */
	Set choices(Request const &request) const
	{
		Set set;
		for (size_t i = _policy.rules().size(); i-- > 0;) {
			Rule const &rule = _policy.rules()[i];
			if (!fits_but_target(rule, request)) continue;
			uint32_t const word = rule.redirect == NONE ? rule.target : rule.redirect;
			for (std::string const &one : _expand(_policy.tokens()[word])) {
				if (rule.action == Action::DENY)
					set.erase(one);
				else
					set.insert(one);
			}
		}
		Described const *const source = find(request.source);
		if (set.erase("@dispvm") && source && !source->default_dispvm.empty())
			set.insert("@dispvm:" + source->default_dispvm);
		if (set.erase("@adminvm")) set.insert("dom0");
		if (source) set.erase(source->name);
		for (Described const &domain : _domains)
			if (domain.internal) set.erase(domain.name);
		return set;
	}
};

} // namespace bulkhead::policy::test
