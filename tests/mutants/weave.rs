//! Writes every mutant into one program, each behind a question to `crate::mutants`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use syn::visit::Visit;

/// A mutant, as cargo-mutants lists it.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) file: String,
    genre: Genre,
    replacement: String,
    span: Lines,
    function: Option<Function>,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Function {
    return_type: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Lines {
    start: Place,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the program.
    Woven,
    /// The compiler refuses what it makes of the program.
    Unviable,
    /// It has to be built by itself: it is in a constant, or its branches differ in type.
    Apart,
}

impl Mutant {
    /// What a mutant is that the compiler refused in the woven program.
    pub(crate) fn refused(&self) -> Fate {
        if self.genre == Genre::FnValue {
            Fate::Unviable
        } else {
            Fate::Apart
        }
    }

    /// Whether it returns another type than the function does, which doesn't name it, and so that it can't be woven.
    fn is_opaque(&self) -> bool {
        let is_opaque = |function: &Function| function.return_type.contains("impl ");
        self.genre == Genre::FnValue
            && self.function.as_ref().is_some_and(is_opaque)
            && self.replacement != NOTHING
    }
}

/// What iterates over nothing: of another type than what it stands for, which can be woven all the same.
const NOTHING: &str = "::std::iter::empty()";

type At = BTreeMap<usize, Vec<(u32, Genre, String)>>;

struct Weaver<'a> {
    text: &'a str,
    mutants: At,
    fates: BTreeMap<u32, Fate>,
    /// Where text is put in, and before what else at that place.
    put: Vec<((usize, u8, isize, isize), String)>,
    cut: Vec<Range<usize>>,
    /// Constants nest: a question can't be put there.
    constant: usize,
    /// The `const` of the function we are in, cut where a mutant is in the function.
    const_fn: Option<Range<usize>>,
    keep_const: &'a BTreeSet<String>,
    turn: isize,
}

/// The text of one file with its mutants, and what became of each. Those in `without` are left out, as are the
/// functions of these names that have to stay constant.
pub(crate) fn weave(
    text: &str,
    mutants: &[(u32, &Mutant)],
    without: &BTreeMap<u32, Fate>,
    keep_const: &BTreeSet<String>,
) -> (String, BTreeMap<u32, Fate>) {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let mut at = At::new();
    for (id, mutant) in mutants {
        if without.contains_key(id) || mutant.is_opaque() {
            continue;
        }
        let Place { line, column } = mutant.span.start;
        let line = &text[starts[line - 1]..];
        let offset: usize = line.chars().take(column - 1).map(char::len_utf8).sum();
        at.entry(text.len() - line.len() + offset)
            .or_default()
            .push((*id, mutant.genre, mutant.replacement.clone()));
    }
    let mut weaver = Weaver {
        text,
        mutants: at,
        fates: BTreeMap::new(),
        put: Vec::new(),
        cut: Vec::new(),
        constant: 0,
        const_fn: None,
        keep_const,
        turn: 0,
    };
    weaver.visit_file(&syn::parse_file(text).unwrap());
    let mut fates = std::mem::take(&mut weaver.fates);
    for (id, _) in mutants {
        fates
            .entry(*id)
            .or_insert(without.get(id).copied().unwrap_or(Fate::Apart));
    }
    (weaver.text(), fates)
}

fn range(of: &impl syn::spanned::Spanned) -> Range<usize> {
    of.span().byte_range()
}

fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(both) => has_let(&both.left) || has_let(&both.right),
        _ => false,
    }
}

impl Weaver<'_> {
    /// The mutants of one kind that begin here; none in a constant.
    fn here(&mut self, at: usize, genre: Genre) -> Vec<(u32, String)> {
        if self.constant > 0 {
            return Vec::new();
        }
        let Some(all) = self.mutants.get(&at) else {
            return Vec::new();
        };
        let those: Vec<_> = all
            .iter()
            .filter(|(_, is, _)| *is == genre)
            .map(|(id, _, replacement)| (*id, replacement.clone()))
            .collect();
        if let (false, Some(token)) = (those.is_empty(), self.const_fn.take()) {
            self.cut.push(token);
        }
        those
    }

    fn woven(&mut self, ids: impl IntoIterator<Item = u32>, fate: Fate) {
        self.fates.extend(ids.into_iter().map(|id| (id, fate)));
    }

    /// Puts text around what lies there. Of two around the same, the earlier call is the outer one.
    fn around(&mut self, inner: &Range<usize>, before: &str, after: &str) {
        self.turn += 1;
        let length = isize::try_from(inner.len()).unwrap();
        self.put
            .push(((inner.start, 1, -length, self.turn), before.to_owned()));
        self.put
            .push(((inner.end, 0, length, -self.turn), after.to_owned()));
    }

    fn text(mut self) -> String {
        self.put.sort();
        self.cut.sort_by_key(|cut| cut.start);
        let mut woven = String::new();
        let mut done = 0;
        let mut cuts = self.cut.iter().peekable();
        let mut copy = |woven: &mut String, to: usize| {
            while let Some(cut) = cuts.peek().filter(|cut| cut.start < to) {
                woven.push_str(&self.text[done..cut.start]);
                done = cut.end;
                cuts.next();
            }
            woven.push_str(&self.text[done..to.max(done)]);
            done = to.max(done);
        };
        for ((at, ..), text) in &self.put {
            copy(&mut woven, *at);
            woven.push_str(text);
        }
        copy(&mut woven, self.text.len());
        woven
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let outer = self.const_fn.take();
        if let Some(token) = &signature.constness {
            if self.keep_const.contains(&signature.ident.to_string()) {
                self.constant += 1;
                syn::visit::visit_block(self, block);
                self.constant -= 1;
                self.const_fn = outer;
                return;
            }
            self.const_fn = Some(range(token));
        }
        if let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) {
            let inside = range(first).start..range(last).end;
            for (id, value) in self.here(inside.start, Genre::FnValue) {
                if value == NOTHING {
                    let after = format!(").filter(move |_| !crate::mutants::is({id}))");
                    self.around(&range(last), "(", &after);
                } else {
                    let question = format!("\nif crate::mutants::is({id}) {{ return {value}; }}\n");
                    self.around(&inside, &question, "");
                }
                self.woven([id], Fate::Woven);
            }
        }
        syn::visit::visit_block(self, block);
        self.const_fn = outer;
    }

    fn in_constant(&mut self, visit: impl FnOnce(&mut Self)) {
        self.constant += 1;
        visit(self);
        self.constant -= 1;
    }

    fn flip(&mut self, whole: &Range<usize>, id: u32) {
        let after = format!(") != crate::mutants::is({id}))");
        self.around(whole, " ((", &after);
        self.woven([id], Fate::Woven);
    }

    fn operator(&mut self, both: &syn::ExprBinary) {
        use syn::BinOp::{And, Eq, Ge, Gt, Le, Lt, Ne, Or};

        let op = range(&both.op);
        let those = self.here(op.start, Genre::BinaryOperator);
        let ids: Vec<u32> = those.iter().map(|(id, _)| *id).collect();
        let Some(&first) = ids.first() else { return };
        let whole = range(both);
        let (left, right) = (range(&*both.left), range(&*both.right));
        match &both.op {
            // `||` can't join what `let` binds.
            And(_) | Or(_) if has_let(&both.left) || has_let(&both.right) => {
                self.woven(ids, Fate::Unviable);
            }
            // a && b is !(!a || !b).
            And(_) | Or(_) => {
                self.flip(&whole, first);
                let after = format!(") != crate::mutants::is({first})");
                self.around(&left, "(", &after);
                self.around(&right, "(", &after);
            }
            Eq(_) | Ne(_) | Ge(_) | Le(_) => self.flip(&whole, first),
            Lt(_) | Gt(_) => {
                let less = matches!(both.op, Lt(_));
                let order = if less {
                    ["==", ">", "<="]
                } else {
                    ["==", "<", ">="]
                };
                let asked = order.map(|op| {
                    let id = those.iter().find(|(_, replacement)| replacement == op);
                    id.map_or(u32::MAX, |(id, _)| *id)
                });
                let name = if less { "lt" } else { "gt" };
                let before = format!(" crate::mutants::{name}(&(");
                self.around(&whole, &before, &format!("), {asked:?})"));
                self.put.push(((op.start, 1, 0, 0), "), &(".to_owned()));
                self.cut.push(op);
                self.woven(ids, Fate::Woven);
            }
            _ => {
                let mut before = " (".to_owned();
                for (id, replacement) in &those {
                    let (left, right) = (&self.text[left.clone()], &self.text[right.clone()]);
                    before.extend([format!(
                        "if crate::mutants::is({id}) {{ {left} {replacement} {right} }} else "
                    )]);
                }
                before.push('{');
                self.around(&whole, &before, "})");
                self.woven(ids, Fate::Woven);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Weaver<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.in_constant(|weaver| syn::visit::visit_item_const(weaver, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.in_constant(|weaver| syn::visit::visit_impl_item_const(weaver, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.in_constant(|weaver| syn::visit::visit_item_static(weaver, item));
    }

    fn visit_type(&mut self, item: &'ast syn::Type) {
        self.in_constant(|weaver| syn::visit::visit_type(weaver, item));
    }

    fn visit_expr_binary(&mut self, both: &'ast syn::ExprBinary) {
        self.operator(both);
        syn::visit::visit_expr_binary(self, both);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        let those = self.here(range(&expr.op).start, Genre::UnaryOperator);
        let not = matches!(expr.op, syn::UnOp::Not(_));
        for (id, _) in those {
            if not {
                self.flip(&range(expr), id);
            }
        }
        syn::visit::visit_expr_unary(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        for (id, _) in self.here(range(arm).start, Genre::MatchArm) {
            let asked = format!("!crate::mutants::is({id})");
            match &arm.pat {
                syn::Pat::Guard(pat) if has_let(&pat.guard) => {
                    self.around(&range(&*pat.guard), &format!("{asked} && "), "");
                }
                syn::Pat::Guard(pat) => {
                    self.around(&range(&*pat.guard), &format!("{asked} && ("), ")");
                }
                pat => self.around(&range(pat), "", &format!(" if {asked}")),
            }
            self.woven([id], Fate::Woven);
        }
        if let syn::Pat::Guard(pat) = &arm.pat {
            let guard = range(&*pat.guard);
            for (id, value) in self.here(guard.start, Genre::MatchArmGuard) {
                if has_let(&pat.guard) {
                    continue;
                }
                let (before, joined) = match value.as_str() {
                    "true" => ("", "||"),
                    _ => ("!", "&&"),
                };
                let before = format!("({before}crate::mutants::is({id}) {joined} (");
                self.around(&guard, &before, "))");
                self.woven([id], Fate::Woven);
            }
        }
        syn::visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        if let Some(rest) = &expr.rest {
            for field in &expr.fields {
                for (id, _) in self.here(range(field).start, Genre::StructField) {
                    let syn::Member::Named(name) = &field.member else {
                        continue;
                    };
                    let rest = &self.text[range(&**rest)];
                    let colon = if field.colon_token.is_some() {
                        ""
                    } else {
                        ": "
                    };
                    let before =
                        format!("if crate::mutants::is({id}) {{ ({rest}).{name} }} else {{");
                    if colon.is_empty() {
                        self.around(&range(&field.expr), &before, "}");
                        self.woven([id], Fate::Woven);
                    }
                }
            }
        }
        syn::visit::visit_expr_struct(self, expr);
    }
}
